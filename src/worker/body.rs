//! Bodies that JavaScript holds.

use std::time::Duration;

use bytes::Bytes;
use wasm_bindgen::JsValue;

use super::task::settled_bytes;
use super::{glue, milliseconds, transport_error};
use crate::event::LambdaBody;
use crate::host::{Body, BodyStream, ReadError, TransportError};

/// The body of a JavaScript Request or Response.
pub(crate) struct JsBody {
    message: JsValue,
    /// Of the body's stream, if it is read in pieces.
    reader: Option<JsValue>,
}

impl JsBody {
    pub(crate) fn new(message: JsValue) -> Self {
        Self { message, reader: None }
    }

    /// The stream, for JavaScript to read the rest of.
    pub(crate) fn take_reader(&mut self) -> Result<JsValue, JsValue> {
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

/// The body of a request: it comes with it, or in the event that it invokes the function with.
pub(crate) enum RequestBody {
    Js(JsBody),
    Lambda(LambdaBody),
}

impl From<LambdaBody> for RequestBody {
    fn from(body: LambdaBody) -> Self {
        Self::Lambda(body)
    }
}

impl Body for RequestBody {
    async fn read(self, limit: usize, within: Duration) -> Result<Bytes, ReadError> {
        match self {
            Self::Js(body) => body.read(limit, within).await,
            Self::Lambda(body) => body.read(limit, within).await,
        }
    }
}

impl BodyStream for JsBody {
    async fn chunk(&mut self, within: Duration) -> Result<Option<Bytes>, TransportError> {
        let reader = self.take_reader().map_err(|error| transport_error(&error))?;
        let reader = self.reader.insert(reader);
        let piece = settled_bytes(glue::chunk(reader, milliseconds(within))).await;
        Ok(piece.map_err(|error| transport_error(&error))?.map(Bytes::from))
    }
}

impl Drop for JsBody {
    /// Without it Bedrock would go on to answer until the garbage is collected.
    fn drop(&mut self) {
        if let Some(reader) = &self.reader {
            glue::cancel(reader);
        }
    }
}
