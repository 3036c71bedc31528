//! The outbox: encoded output, durable before anything is sent.
