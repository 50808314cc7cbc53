//! A stand-in for AWS STS at `/sts/` on the same port: `AssumeRole`, and the temporary keys that it
//! has issued, which may then sign requests to Bedrock.
//!
//! Out of scope: roles and their trust policies. Every key in [`Settings::sts_keys`] may assume any
//! role.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use percent_encoding::percent_decode_str;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::auth::{self, AccessKey};
use crate::error::AwsError;
use crate::server::Settings;
use crate::sigv4::{Authorization, Received};

/// The service in the credential scope of a request to STS.
pub const SERVICE: &str = "sts";

/// A fault of STS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StsFault {
    /// 403 `AccessDenied`, as if the role did not trust the key.
    AccessDenied,
    /// 400 `Throttling`.
    Throttled,
    /// 500 `InternalFailure`.
    InternalFailure,
    /// 503 and HTML, as from a proxy.
    Html,
    /// 200 and a body that is not XML.
    NotXml,
    /// 200 and credentials without a session token.
    NoToken,
    /// No response.
    Silence,
}

/// The state of STS: the calls so far, the faults to come, and the keys.
#[derive(Default)]
pub(crate) struct Sts {
    calls: AtomicU64,
    faults: Mutex<VecDeque<StsFault>>,
    issued: Mutex<Vec<IssuedKey>>,
}

struct IssuedKey {
    key: AccessKey,
    expires: SystemTime,
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Sts {
    pub(crate) fn calls(&self) -> u64 {
        self.calls.load(Ordering::SeqCst)
    }

    pub(crate) fn fail(&self, faults: impl IntoIterator<Item = StsFault>) {
        lock(&self.faults).extend(faults);
    }

    /// Expires all keys so far, whatever their lifetime.
    pub(crate) fn expire_all(&self) {
        for issued in lock(&self.issued).iter_mut() {
            issued.expires = SystemTime::UNIX_EPOCH;
        }
    }

    /// Returns the keys that may sign a request to Bedrock.
    ///
    /// # Errors
    ///
    /// 403 `ExpiredTokenException`, if the request is signed with a key that has expired.
    pub(crate) fn keys(
        &self,
        received: &Received,
        now: SystemTime,
    ) -> Result<Vec<AccessKey>, AwsError> {
        let authorization = received.header("authorization").unwrap_or_default();
        let id = Authorization::parse(authorization).map(|it| it.access_key_id).unwrap_or_default();
        let issued = lock(&self.issued);
        if issued.iter().any(|it| it.key.id == id && it.expires <= now) {
            return Err(AwsError::authentication(
                "ExpiredTokenException",
                "The security token included in the request is expired",
            ));
        }
        Ok(issued.iter().map(|it| it.key.clone()).collect())
    }

    /// Responds to a request to STS.
    pub(crate) async fn respond(&self, received: &Received, settings: &Settings) -> Response {
        let number = self.calls.fetch_add(1, Ordering::SeqCst) + 1;
        tokio::time::sleep(settings.sts_delay).await;
        let now = SystemTime::now();
        let keys = settings.sts_keys.clone();
        let settings = Settings { keys, ..settings.clone() };
        if let Err(error) = auth::verify(received, SERVICE, &settings, now) {
            // STS has other names for these errors.
            let code = match error.name {
                "InvalidSignatureException" => "SignatureDoesNotMatch",
                "UnrecognizedClientException" => "InvalidClientTokenId",
                "MissingAuthenticationTokenException" => "MissingAuthenticationToken",
                _ => "IncompleteSignature",
            };
            return error_response(StatusCode::FORBIDDEN, code, &error.message);
        }
        let fault = lock(&self.faults).pop_front();
        let form = Form::parse(&received.body);
        let (role, session) = match form.assume_role() {
            Ok(parameters) => parameters,
            Err(message) => {
                return error_response(StatusCode::BAD_REQUEST, "ValidationError", message);
            }
        };
        let mut with_token = true;
        match fault {
            None => {}
            Some(StsFault::NoToken) => with_token = false,
            Some(StsFault::Silence) => std::future::pending().await,
            Some(fault) => return fault_response(fault, role),
        }
        let key = AccessKey {
            id: format!("ASIASTANDIN{number:09}"),
            secret: format!("temporary/secret/of/the/stand/in{number:08}"),
            session_token: Some(format!("FwoGZXIvYXdzEXAMPLE//////////temporary+token{number}==")),
        };
        let expires = now + settings.sts_lifetime;
        let response = success_response(&key, expires, role, session, with_token);
        lock(&self.issued).push(IssuedKey { key, expires });
        response
    }
}

/// The fields of a body of `application/x-www-form-urlencoded`.
struct Form(Vec<(String, String)>);

impl Form {
    fn parse(body: &[u8]) -> Self {
        let text = String::from_utf8_lossy(body);
        let decoded = |text: &str| {
            percent_decode_str(&text.replace('+', " ")).decode_utf8_lossy().into_owned()
        };
        let pairs = text.split('&').filter_map(|pair| pair.split_once('='));
        Self(pairs.map(|(name, value)| (decoded(name), decoded(value))).collect())
    }

    fn value(&self, name: &str) -> &str {
        let found = self.0.iter().find(|(known, _)| known == name);
        found.map_or("", |(_, value)| value)
    }

    /// Validates the parameters of `AssumeRole`. Returns the role and the name of the session.
    fn assume_role(&self) -> Result<(&str, &str), &'static str> {
        if (self.value("Action"), self.value("Version")) != ("AssumeRole", "2011-06-15") {
            return Err("Could not find operation");
        }
        match (self.value("RoleArn"), self.value("RoleSessionName")) {
            (role, session) if role.starts_with("arn:aws:iam::") && session.len() >= 2 => {
                Ok((role, session))
            }
            _ => Err("RoleArn and RoleSessionName are required"),
        }
    }
}

fn fault_response(fault: StsFault, role: &str) -> Response {
    match fault {
        StsFault::AccessDenied => error_response(
            StatusCode::FORBIDDEN,
            "AccessDenied",
            &format!(
                "User: arn:aws:iam::123456789012:user/edge is not authorized to perform: \
                 sts:AssumeRole on resource: {role}"
            ),
        ),
        StsFault::Throttled => {
            error_response(StatusCode::BAD_REQUEST, "Throttling", "Rate exceeded")
        }
        StsFault::InternalFailure => error_response(
            StatusCode::INTERNAL_SERVER_ERROR,
            "InternalFailure",
            "We tried & failed",
        ),
        StsFault::Html => (
            StatusCode::SERVICE_UNAVAILABLE,
            [(header::CONTENT_TYPE, "text/html")],
            "<html><head><title>503</title></head><body><br>Try again</body></html>",
        )
            .into_response(),
        _ => xml(StatusCode::OK, "Welcome".to_owned()),
    }
}

fn success_response(
    key: &AccessKey,
    expires: SystemTime,
    role: &str,
    session: &str,
    with_token: bool,
) -> Response {
    let expires =
        OffsetDateTime::from(expires).replace_nanosecond(0).expect("0 is a valid nanosecond");
    let expires = expires.format(&Rfc3339).expect("a year of four digits");
    let token = key.session_token.as_deref().filter(|_| with_token);
    let token =
        token.map_or(String::new(), |token| format!("<SessionToken>{token}</SessionToken>"));
    let (id, secret) = (&key.id, &key.secret);
    let assumed = role.replace(":iam:", ":sts:").replace(":role/", ":assumed-role/");
    xml(
        StatusCode::OK,
        format!(
            r#"<AssumeRoleResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">
  <AssumeRoleResult>
    <AssumedRoleUser>
      <AssumedRoleId>AROA3XFRBF535PLBIFPI4:{session}</AssumedRoleId>
      <Arn>{assumed}/{session}</Arn>
    </AssumedRoleUser>
    <Credentials>
      <AccessKeyId>{id}</AccessKeyId>
      <SecretAccessKey>{secret}</SecretAccessKey>
      {token}
      <Expiration>{expires}</Expiration>
    </Credentials>
  </AssumeRoleResult>
  <ResponseMetadata>
    <RequestId>01234567-89ab-cdef-0123-456789abcdef</RequestId>
  </ResponseMetadata>
</AssumeRoleResponse>
"#
        ),
    )
}

fn error_response(status: StatusCode, code: &str, message: &str) -> Response {
    let message = message.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let kind = if status.is_server_error() { "Receiver" } else { "Sender" };
    xml(
        status,
        format!(
            r#"<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">
  <Error>
    <Type>{kind}</Type>
    <Code>{code}</Code>
    <Message>{message}</Message>
  </Error>
  <RequestId>01234567-89ab-cdef-0123-456789abcdef</RequestId>
</ErrorResponse>
"#
        ),
    )
}

fn xml(status: StatusCode, body: String) -> Response {
    (status, [(header::CONTENT_TYPE, "text/xml")], body).into_response()
}

/// The default lifetime of the credentials of `AssumeRole`.
pub const LIFETIME: Duration = Duration::from_secs(3600);
