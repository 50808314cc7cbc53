//! The names of headers that are read or sent, where the crate `http` does not have them.
//!
//! They are values, because to find a name by its text takes `http`'s search for all that there are: it is
//! one of the largest functions, and an isolate would compile it for its first request.

use http::HeaderName;

pub(crate) const CF_ACCESS_JWT_ASSERTION: HeaderName =
    HeaderName::from_static("cf-access-jwt-assertion");
pub(crate) const CF_CONNECTING_IP: HeaderName = HeaderName::from_static("cf-connecting-ip");
pub(crate) const X_AMZ_CONTENT_SHA256: HeaderName = HeaderName::from_static("x-amz-content-sha256");
pub(crate) const X_AMZ_DATE: HeaderName = HeaderName::from_static("x-amz-date");
pub(crate) const X_AMZ_INVOCATION_TYPE: HeaderName =
    HeaderName::from_static("x-amz-invocation-type");
pub(crate) const X_AMZ_SECURITY_TOKEN: HeaderName = HeaderName::from_static("x-amz-security-token");
pub(crate) const X_AMZN_ERRORTYPE: HeaderName = HeaderName::from_static("x-amzn-errortype");
pub(crate) const X_AMZN_REQUESTID: HeaderName = HeaderName::from_static("x-amzn-requestid");
pub(crate) const X_API_KEY: HeaderName = HeaderName::from_static("x-api-key");
