//! The MySQL table source against a real MariaDB and a real MySQL: snapshots under writes, restarts at
//! every position, killed servers, lost logs, altered tables.
//!
//! It is driven by hand through its trait, as the engine's pump drives it. MariaDB is always there;
//! what must hold on either server runs on MySQL too, where one can be had.

#[path = "mysql/alter.rs"]
mod alter;
#[path = "mysql/drive.rs"]
mod drive;
#[path = "mysql/faults.rs"]
mod faults;
#[path = "mysql/lost.rs"]
mod lost;
#[path = "support/mariadb.rs"]
mod mariadb;
#[path = "mysql/restart.rs"]
mod restart;
#[path = "mysql/table.rs"]
mod table;
#[path = "mysql/values.rs"]
mod values;
