//! Words of the specification that this version does not act on yet: known, and refused as such.
//!
//! A setting that is accepted and ignored is worse than one that is refused, because results would
//! differ from what the file says.

const LOOKUP: &str = "the jobs that look dimensions up";
const DB: &str = "the fact jobs on the business database";
const SQL: &str = "SQL jobs";
const DWS: &str = "the DWS jobs of later versions";
const TUNING: &str = "later tuning; it has a fixed value now";

/// Keys by section, and what they wait for.
pub(super) const LATER_KEYS: &[(&str, &str, &str)] = &[
    ("switch", "number_text", SQL),
    ("switch", "lookup.wait_for_row_ms", LOOKUP),
    ("switch", "lookup.timeout_ms", LOOKUP),
    ("switch", "lookup.from_cdc", LOOKUP),
    ("switch", "dwd.ts_type", DB),
    ("switch", "dwd.facts_from_bootstrap", DB),
    ("switch", "dwd.order_detail.sink", DB),
    ("switch", "favor.refavour", DB),
    ("switch", "refund.keep_unmatched", DB),
    ("switch", "refund.retention", DB),
    ("switch", "upsert_kafka.tombstones", SQL),
    ("switch", "sink.changelog", SQL),
    ("switch", "ods_db.ts_unit", DB),
    ("switch", "json.on_error", SQL),
    ("switch", "join.transaction_slack", DB),
    ("switch", "order.lifetime", DB),
    ("switch", "order.slack", DB),
    ("switch", "keyword.source", DWS),
    ("switch", "keyword.filter", DWS),
    ("switch", "keyword.distinct", DWS),
    ("switch", "keyword.tokenizer", DWS),
    ("switch", "province_order.input", DWS),
    ("switch", "on_missing_partition", "the Doris connector"),
    ("engine", "batch.rows_target", TUNING),
    ("engine", "batch.bytes_target", TUNING),
    ("engine", "row.bytes_max", TUNING),
    ("engine", "source.transaction_bytes_max", DB),
    ("engine", "checkpoint.manifests_kept", TUNING),
    ("source.ods_log", "topic-pattern", TUNING),
    ("source.ods_log", "scan.startup.specific-offsets", TUNING),
    ("source.ods_log", "scan.topic-partition-discovery.interval", TUNING),
    ("source.ods_db", "topic-pattern", TUNING),
    ("source.ods_db", "scan.startup.specific-offsets", TUNING),
    ("source.ods_db", "scan.topic-partition-discovery.interval", TUNING),
];

/// Jobs of the warehouse that come later, and what they wait for.
pub(super) const LATER_JOBS: &[(&str, &str)] = &[
    ("cart_add", DB),
    ("order_pre_process", DB),
    ("order_detail", DB),
    ("cancel_detail", DB),
    ("pay_detail_suc", DB),
    ("order_refund", DB),
    ("refund_pay_suc", DB),
    ("dws_traffic_source_keyword_page_view_window", DWS),
    ("dws_user_user_login_window", DWS),
    ("dws_user_user_register_window", DWS),
    ("dws_trade_cart_add_uu_window", DWS),
    ("dws_trade_payment_suc_window", DWS),
    ("dws_trade_order_window", DWS),
    ("dws_trade_sku_order_window", DWS),
    ("dws_trade_province_order_window", DWS),
    ("dws_trade_trademark_category_user_refund_window", DWS),
];
