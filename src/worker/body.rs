//! Bodies that JavaScript holds.

use std::time::Duration;

use bytes::Bytes;
use wasm_bindgen::JsValue;

use super::glue;
use super::http::{milliseconds, transport_error};
use super::task::settled_bytes;
use crate::host::{Body, BodyStream, ReadError, TransportError};

/// The body of a JavaScript Request or Response.
pub(crate) struct JsBody {
    message: JsValue,
    /// The reader of the body's stream, if it is read in chunks.
    reader: Option<JsValue>,
}

impl JsBody {
    pub(super) fn new(message: JsValue) -> Self {
        Self { message, reader: None }
    }

    /// Returns the reader, with which JavaScript reads the rest.
    pub(super) fn take_reader(&mut self) -> Result<JsValue, JsValue> {
        self.reader.take().map_or_else(|| glue::reader(&self.message), Ok)
    }
}

impl Body for JsBody {
    async fn read(self, limit: usize, within: Duration) -> Result<Bytes, ReadError> {
        let limit = u32::try_from(limit).unwrap_or(u32::MAX);
        let body = settled_bytes(glue::read(&self.message, limit, milliseconds(within))).await;
        let body = body.map_err(|error| transport_error(&error))?;
        body.map(Bytes::from).ok_or(ReadError::TooLong)
    }
}

impl BodyStream for JsBody {
    async fn chunk(&mut self, within: Duration) -> Result<Option<Bytes>, TransportError> {
        let reader = self.take_reader().map_err(|error| transport_error(&error))?;
        let reader = self.reader.insert(reader);
        let chunk = settled_bytes(glue::chunk(reader, milliseconds(within))).await;
        Ok(chunk.map_err(|error| transport_error(&error))?.map(Bytes::from))
    }
}

impl Drop for JsBody {
    /// Stops the transfer: without it Bedrock would go on until the reader is garbage-collected.
    fn drop(&mut self) {
        if let Some(reader) = &self.reader {
            glue::cancel(reader);
        }
    }
}
