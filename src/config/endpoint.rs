//! Where a model is: a region, and the URIs of its operations there.

use http::Uri;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::upstream::Breaker;

/// RFC 3986's unreserved characters stay; `:` and `/` in a model id must not.
const MODEL_ID_ESCAPES: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A model in a region. The URIs are made here, because they are the same for every request.
#[derive(Debug)]
#[non_exhaustive]
pub struct Endpoint {
    /// The region of the endpoint and of the credential scope.
    pub region: String,
    /// A model id, an inference profile's id, or an ARN.
    pub model_id: String,
    /// Where InvokeModel is, with the model id percent-encoded once.
    pub invoke_uri: Uri,
    /// Where InvokeModelWithResponseStream is.
    pub stream_uri: Uri,
    pub(crate) breaker: Breaker,
}

impl Endpoint {
    /// `base` is a URL without a `/` at its end; without one it is AWS's own for the region.
    pub(crate) fn new(
        base: Option<&str>,
        region: String,
        model_id: String,
    ) -> Result<Self, http::uri::InvalidUri> {
        let own;
        let base = match base {
            Some(base) => base,
            None => {
                own = format!("https://bedrock-runtime.{region}.amazonaws.com");
                &own
            }
        };
        let model = format!("{base}/model/{}", utf8_percent_encode(&model_id, MODEL_ID_ESCAPES));
        Ok(Self {
            region,
            model_id,
            invoke_uri: format!("{model}/invoke").parse()?,
            stream_uri: format!("{model}/invoke-with-response-stream").parse()?,
            breaker: Breaker::default(),
        })
    }
}
