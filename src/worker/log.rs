//! The line of a request on the console.

use super::glue;
use super::platform::Worker;
use crate::config::{Config, Level};
use crate::log::Record;
use crate::server::Isolate;

/// Writes the line of a request on the console, unless `LOG_LEVEL` excludes it.
pub fn log(record: &Record, config: Option<&Config>) {
    if let Some(line) = record.line(config) {
        glue::log(&line);
    }
}

/// Logs a request that did not become a stream. If its client has disconnected, nothing failed.
pub(super) fn log_for(worker: &Worker, mut record: Record, isolate: &Isolate) {
    if record.level == Level::Error && glue::is_gone(&worker.client) {
        // nginx's status: the client was told none.
        record.status = 499;
        record.level = Level::Info;
        record.outcome = "cancelled";
        record.error = None;
    }
    log(&record, isolate.config().ok());
}
