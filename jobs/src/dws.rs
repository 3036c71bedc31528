//! DWS: small-window aggregates, in tables.

pub mod page_view;
pub mod traffic;
pub mod window;
