//! DWD: facts, in topics.

pub mod dates;
pub mod log_split;
pub mod route;
pub mod unique_visitor;
pub mod user_jump;
