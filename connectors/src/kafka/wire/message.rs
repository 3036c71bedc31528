//! Bodies of requests and their answers, field by field as the message definitions name them.

pub(in crate::kafka) mod coordinator;
pub(in crate::kafka) mod fetch;
pub(in crate::kafka) mod metadata;
pub(in crate::kafka) mod produce;
pub(in crate::kafka) mod topic_id;
pub(in crate::kafka) mod transaction;
pub(in crate::kafka) mod versions;
