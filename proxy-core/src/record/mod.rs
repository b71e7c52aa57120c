//! What is written down about a flow: the record, the access log, the metrics.

mod flow_record;

pub use flow_record::*;
