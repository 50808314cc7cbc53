//! The line of a request in the log.

use super::glue::Platform;
use super::platform::Worker;
use crate::config::{Config, Level};
use crate::log::Record;
use crate::server::Isolate;

/// Writes the line of a request on the console, unless `LOG_LEVEL` excludes it.
#[cfg(feature = "worker")]
pub fn log(record: &Record, config: Option<&Config>) {
    log_to(&super::platform::own(), record, config);
}

/// Writes the line of a request to the log of its platform, unless `LOG_LEVEL` excludes it.
pub(super) fn log_to(platform: &Platform, record: &Record, config: Option<&Config>) {
    if let Some(line) = record.line(config) {
        platform.log_line(&line);
    }
}

/// Logs a request that did not become a stream. If its client has disconnected, nothing failed.
pub(super) fn log_for(worker: &Worker, mut record: Record, isolate: &Isolate) {
    if record.level == Level::Error && super::glue::is_gone(&worker.client) {
        // nginx's status: the client was told none.
        record.status = 499;
        record.level = Level::Info;
        record.outcome = "cancelled";
        record.error = None;
    }
    log_to(&worker.platform, &record, isolate.config().ok());
}
