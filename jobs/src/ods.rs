//! ODS: the raw topics, each read and decoded once for all jobs of the process.

pub mod ods_db;
