//! Bodies that JavaScript holds.

use std::cell::RefCell;
use std::time::Duration;

use bytes::Bytes;
use wasm_bindgen::JsValue;

use super::glue;
use super::http::{milliseconds, transport_error};
use super::task::{settled, settled_bytes};
use crate::host::{Body, BodyStream, Kept, KeptBody, ReadError, TransportError};

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

    /// Returns the Request or the Response.
    pub(super) fn message(&self) -> &JsValue {
        &self.message
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

    async fn keep(self, limit: usize, within: Duration) -> Result<KeptBody, ReadError> {
        let limit = u32::try_from(limit).unwrap_or(u32::MAX);
        let kept = settled(glue::keep(&self.message, limit, milliseconds(within))).await;
        let kept = kept.map_err(|error| transport_error(&error))?;
        if kept.is_null() {
            return Err(ReadError::TooLong);
        }
        Ok(KeptBody::new(JsKept::new(kept)))
    }
}

/// The place of a body that JavaScript holds in this instance of wasm.
pub(super) struct JsKept {
    place: usize,
    length: usize,
}

thread_local! {
    /// The bodies by their places. A value of JavaScript cannot be sent to another thread, and a [`KeptBody`] can.
    static KEPT: RefCell<Vec<Option<JsValue>>> = const { RefCell::new(Vec::new()) };
}

impl JsKept {
    fn new(kept: JsValue) -> Self {
        let length = glue::kept_length(&kept) as usize;
        KEPT.with_borrow_mut(|places| {
            let free = places.iter().position(Option::is_none);
            let place = free.unwrap_or(places.len());
            match places.get_mut(place) {
                Some(free) => *free = Some(kept),
                None => places.push(Some(kept)),
            }
            Self { place, length }
        })
    }

    /// Passes the value of JavaScript to a closure.
    pub(super) fn with<T>(&self, read: impl FnOnce(&JsValue) -> T) -> Option<T> {
        KEPT.with_borrow(|places| places.get(self.place)?.as_ref().map(read))
    }
}

impl Kept for JsKept {
    fn length(&self) -> usize {
        self.length
    }

    fn read_at(&self, offset: usize, out: &mut [u8]) -> usize {
        let offset = u32::try_from(offset).unwrap_or(u32::MAX);
        self.with(|kept| glue::kept_read(kept, offset, out) as usize).unwrap_or(0)
    }
}

impl Drop for JsKept {
    fn drop(&mut self) {
        let kept = KEPT.with_borrow_mut(|places| places.get_mut(self.place)?.take());
        if let Some(kept) = kept {
            glue::kept_free(&kept);
        }
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
