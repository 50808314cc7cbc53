//! The percent-encoding that AWS calls UriEncode.
//!
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html>

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC};

/// The bytes that UriEncode escapes: all but RFC 3986's unreserved characters.
pub(crate) const RESERVED: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The bytes that UriEncode escapes in a path, where `/` separates the segments.
pub(crate) const RESERVED_IN_PATH: &AsciiSet = &RESERVED.remove(b'/');
