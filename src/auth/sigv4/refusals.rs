//! Refusals in AWS's words.

use crate::auth::refusal::Refusal;

/// Refuses an unknown key, a wrong secret and a changed request in the same words.
pub(super) fn mismatch(cause: &'static str) -> Refusal {
    let message = "The request signature we calculated does not match the signature you provided. \
                   Check your AWS Secret Access Key and signing method. Consult the service \
                   documentation for details.";
    invalid(message, cause)
}

/// Refuses a signature whose parts do not fit.
pub(super) fn invalid(message: &str, cause: &'static str) -> Refusal {
    refusal("InvalidSignatureException", message, cause)
}

/// Refuses a signature with a missing or malformed part.
pub(super) fn incomplete(message: &str, cause: &'static str) -> Refusal {
    refusal("IncompleteSignatureException", message, cause)
}

#[inline(never)] // Saves 1 KiB of the upload: it has many callers.
fn refusal(kind: &'static str, message: &str, cause: &'static str) -> Refusal {
    Refusal::Aws { kind, message: message.to_owned(), cause: cause.into() }
}
