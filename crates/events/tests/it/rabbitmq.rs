//! Publisher and consumer against a real broker.

mod broker;
mod consumer;
mod faults;
mod hearing;
mod logs;
mod proxy;
mod publisher;
mod retries;
mod tls;
