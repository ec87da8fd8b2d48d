"""The rollup's operators: valid batches → panes (tenant, shard, window) → rows when the watermark closes them.

Every tier is a KeyedProcessFunction over panes; what one closes is a payload of the next. Beside the panes of shards
each tenant has one of its sources: it closes into the row of table completeness.
"""
