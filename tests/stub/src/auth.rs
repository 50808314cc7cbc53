//! Authentication of a request, and the name and message of the error for each check that fails.
//!
//! Out of scope: authorization. Every known key may call every operation.

use std::time::{Duration, SystemTime};

use time::format_description::FormatItem;
use time::macros::format_description;
use time::{OffsetDateTime, PrimitiveDateTime};

use crate::error::AwsError;
use crate::server::Settings;
use crate::sigv4::{self, Authorization, PathEncoding, Received};

/// The difference that AWS accepts between the time of a signature and its own clock.
pub const CLOCK_SKEW: Duration = Duration::from_secs(5 * 60);

/// The format of `x-amz-date`: ISO 8601, basic format, UTC.
const AMZ_DATE: &[FormatItem<'_>] =
    format_description!("[year][month][day]T[hour][minute][second]Z");

/// A key that the stand-in accepts. It has no `Debug`, because under `npm run dev` it may be a real
/// one.
#[derive(Clone)]
pub struct AccessKey {
    /// The access key ID: `AKIA…`, or `ASIA…` for a temporary key.
    pub id: String,
    /// The secret access key.
    pub secret: String,
    /// The value that `x-amz-security-token` must have. `None` for a long-term key, which must be
    /// sent without that header.
    pub session_token: Option<String>,
}

impl AccessKey {
    /// Returns the example key of AWS's documentation.
    pub fn example() -> Self {
        Self {
            id: "AKIAIOSFODNN7EXAMPLE".to_owned(),
            secret: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY".to_owned(),
            session_token: None,
        }
    }
}

/// Verifies the `Authorization` header of a request to `service` at the time `now`: a SigV4
/// signature, or a Bedrock API key (`Bearer …`).
///
/// # Errors
///
/// The error of AWS for the first check that fails.
pub fn verify(
    received: &Received,
    service: &str,
    settings: &Settings,
    now: SystemTime,
) -> Result<(), AwsError> {
    let Some(value) = received.header("authorization") else {
        return Err(AwsError::authentication(
            "MissingAuthenticationTokenException",
            "Missing Authentication Token",
        ));
    };
    match value.strip_prefix("Bearer ") {
        Some(api_key) => verify_api_key(api_key.trim(), settings),
        None => verify_signature(value, received, service, settings, now),
    }
}

pub(crate) fn verify_api_key(api_key: &str, settings: &Settings) -> Result<(), AwsError> {
    if settings.api_keys.iter().any(|known| known == api_key) {
        return Ok(());
    }
    Err(AwsError::authentication(
        "AccessDeniedException",
        "Authentication failed: Please make sure your API Key is valid.",
    ))
}

fn verify_signature(
    authorization: &str,
    received: &Received,
    service: &str,
    settings: &Settings,
    now: SystemTime,
) -> Result<(), AwsError> {
    let authorization = Authorization::parse(authorization).map_err(incomplete)?;
    let Some(amz_date) = received.header("x-amz-date") else {
        return Err(incomplete(
            "Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header.",
        ));
    };
    check_signed_headers(&authorization, received)?;
    let key = known_key(&authorization, received, settings)?;

    let scope = &authorization.scope;
    if scope.region != settings.region {
        // AWS's message ends in a space too.
        return Err(invalid("Credential should be scoped to a valid region. "));
    }
    if scope.service != service {
        return Err(invalid(format!(
            "Credential should be scoped to correct service: '{service}'. "
        )));
    }
    if !amz_date.starts_with(&scope.date) {
        return Err(invalid(format!(
            "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from \
             HTTP: '{}' != '{}', from '{amz_date}'.",
            scope.date,
            amz_date.get(..8).unwrap_or(amz_date),
        )));
    }
    check_time(amz_date, now)?;

    let canonical_request = sigv4::canonical_request(
        received,
        &authorization.signed_headers,
        PathEncoding::Twice,
        true,
    );
    let string_to_sign = sigv4::string_to_sign(amz_date, scope, &canonical_request);
    if sigv4::signature(&key.secret, scope, &string_to_sign) != authorization.signature {
        return Err(mismatch(&canonical_request, &string_to_sign));
    }
    Ok(())
}

fn check_signed_headers(
    authorization: &Authorization,
    received: &Received,
) -> Result<(), AwsError> {
    let is_signed = |name: &str| {
        authorization.signed_headers.iter().any(|signed| signed.eq_ignore_ascii_case(name))
    };
    if !is_signed("host") {
        return Err(invalid(
            "'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization.",
        ));
    }
    for (name, _) in &received.headers {
        if name.to_ascii_lowercase().starts_with("x-amz-") && !is_signed(name) {
            return Err(invalid(format!(
                "'{name}' must be a 'SignedHeader' in the AWS Authorization."
            )));
        }
    }
    for name in &authorization.signed_headers {
        if received.header(name).is_none() {
            return Err(incomplete(format!(
                "'{name}' is named as a SignedHeader, but it does not exist in the HTTP request."
            )));
        }
    }
    Ok(())
}

/// Finds the key that signed the request. AWS responds with the same error to an unknown key and to
/// a session token that is wrong, missing, or not expected.
fn known_key<'a>(
    authorization: &Authorization,
    received: &Received,
    settings: &'a Settings,
) -> Result<&'a AccessKey, AwsError> {
    let session_token = received.header("x-amz-security-token");
    settings
        .keys
        .iter()
        .find(|key| key.id == authorization.access_key_id)
        .filter(|key| key.session_token.as_deref() == session_token)
        .ok_or_else(|| {
            AwsError::authentication(
                "UnrecognizedClientException",
                "The security token included in the request is invalid.",
            )
        })
}

fn check_time(amz_date: &str, now: SystemTime) -> Result<(), AwsError> {
    let Ok(signed) = PrimitiveDateTime::parse(amz_date, AMZ_DATE) else {
        return Err(incomplete(format!(
            "Date must be in ISO-8601 'basic format'. Got '{amz_date}'. \
             See http://en.wikipedia.org/wiki/ISO_8601"
        )));
    };
    let signed = signed.assume_utc();
    let now = OffsetDateTime::from(now);
    let format = |time: OffsetDateTime| {
        time.format(AMZ_DATE).expect("a UTC time has every component of the format")
    };
    let (earliest, latest) = (now - CLOCK_SKEW, now + CLOCK_SKEW);
    if signed < earliest {
        return Err(invalid(format!(
            "Signature expired: {amz_date} is now earlier than {} ({} - 5 min.)",
            format(earliest),
            format(now),
        )));
    }
    if signed > latest {
        return Err(invalid(format!(
            "Signature not yet current: {amz_date} is still later than {} ({} + 5 min.)",
            format(latest),
            format(now),
        )));
    }
    Ok(())
}

/// Creates the error for a wrong signature. Like AWS's, its message quotes the canonical request,
/// and so every signed header, `x-amz-security-token` among them.
pub(crate) fn mismatch(canonical_request: &str, string_to_sign: &str) -> AwsError {
    invalid(format!(
        "The request signature we calculated does not match the signature you provided. Check \
         your AWS Secret Access Key and signing method. Consult the service documentation for \
         details.\n\nThe Canonical String for this request should have been\n\
         '{canonical_request}'\n\nThe String-to-Sign should have been\n'{string_to_sign}'\n"
    ))
}

fn invalid(message: impl Into<String>) -> AwsError {
    AwsError::authentication("InvalidSignatureException", message)
}

fn incomplete(message: impl Into<String>) -> AwsError {
    AwsError::authentication("IncompleteSignatureException", message)
}
