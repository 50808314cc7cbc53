use std::cell::RefCell;
use std::collections::BTreeSet;

use super::variables::Variables;
use super::*;
use crate::secret::Secret;

const ID: &str = "AKIAIOSFODNN7EXAMPLE";
const SECRET: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
const KEYS: [(&str, &str); 2] = [("AWS_ACCESS_KEY_ID", ID), ("AWS_SECRET_ACCESS_KEY", SECRET)];

fn config(vars: &[(&str, &str)]) -> Result<Config, ConfigError> {
    Config::from_vars(|name| {
        vars.iter().find(|(given, _)| *given == name).map(|(_, value)| (*value).to_owned())
    })
}

/// Reads variables with a key, which every case needs.
fn with_keys(vars: &[(&str, &str)]) -> Result<Config, ConfigError> {
    config(&[vars, &KEYS].concat())
}

#[test]
fn the_defaults_are_those_of_the_lambda() {
    let config = with_keys(&[]).unwrap();
    assert_eq!(config.endpoint.region, "ap-northeast-1");
    assert_eq!(config.endpoint.model_id, "apac.anthropic.claude-sonnet-4-20250514-v1:0");
    assert_eq!(config.max_tokens, 100);
    assert_eq!(config.temperature, Some(0.7));
    assert_eq!(config.max_body_bytes, 1_048_576);
    assert_eq!(config.log_level, Level::Info);
    assert!(config.authentication.secrets().eq([ID, SECRET]));
    assert_eq!(
        config.endpoint.invoke_uri.to_string(),
        "https://bedrock-runtime.ap-northeast-1.amazonaws.com\
         /model/apac.anthropic.claude-sonnet-4-20250514-v1%3A0/invoke"
    );
}

#[test]
fn every_valid_value_is_taken() {
    let max = "m".repeat(2048);
    let cases: &[(&str, &str, &str, &str)] = &[
        ("region", "BEDROCK_REGION", "ap-south-1", r#"region: "ap-south-1""#),
        ("region set to nothing", "BEDROCK_REGION", "", r#"region: "ap-northeast-1""#),
        ("region of white space", "BEDROCK_REGION", " \n", r#"region: "ap-northeast-1""#),
        ("region with a newline", "BEDROCK_REGION", "ap-south-1\n", r#"region: "ap-south-1""#),
        ("longest model id", "BEDROCK_MODEL_ID", &max, &format!("model_id: {max:?}")),
        ("max tokens, least", "MAX_TOKENS", "1", "max_tokens: 1,"),
        ("max tokens, most", "MAX_TOKENS", "4294967295", "max_tokens: 4294967295,"),
        ("temperature, least", "TEMPERATURE", "0", "temperature: Some(0.0)"),
        ("temperature, most", "TEMPERATURE", "1.0", "temperature: Some(1.0)"),
        ("temperature not sent", "TEMPERATURE", "", "temperature: None"),
        ("temperature of white space", "TEMPERATURE", " ", "temperature: None"),
        ("body, least", "MAX_BODY_BYTES", "1", "max_body_bytes: 1,"),
        ("body, most", "MAX_BODY_BYTES", "25000000", "max_body_bytes: 25000000,"),
        ("a base path", "BASE_PATH", "/v1/ai/", r#"base_path: "/v1/ai""#),
        ("no base path", "BASE_PATH", "/", r#"base_path: """#),
        ("level", "LOG_LEVEL", "DEBUG", "log_level: Debug"),
        ("messages", "LOG_UPSTREAM_MESSAGES", "full", "logs_upstream_messages: true"),
        ("messages, default", "LOG_UPSTREAM_MESSAGES", "", "logs_upstream_messages: false"),
        ("messages, known", "LOG_UPSTREAM_MESSAGES", "known", "logs_upstream_messages: false"),
        ("timeout, least", "BEDROCK_TIMEOUT_MS", "1", "timeout: 1ms,"),
        ("timeout, most", "BEDROCK_TIMEOUT_MS", "3600000", "timeout: 3600s,"),
        ("timeout, default", "BEDROCK_TIMEOUT_MS", "", "timeout: 25s,"),
        ("stall", "BEDROCK_STALL_MS", "1500", "stall: 1.5s,"),
        ("stall, default", "BEDROCK_STALL_MS", "", "stall: 30s,"),
        ("attempts, least", "BEDROCK_MAX_ATTEMPTS", "1", "max_attempts: 1,"),
        ("attempts, most", "BEDROCK_MAX_ATTEMPTS", "10", "max_attempts: 10,"),
        ("attempts, default", "BEDROCK_MAX_ATTEMPTS", "", "max_attempts: 3,"),
        ("no other regions", "BEDROCK_FALLBACK_REGIONS", " ", "fallbacks: [],"),
    ];
    for (name, variable, value, expected) in cases {
        let config =
            with_keys(&[(variable, value)]).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(format!("{config:?}").contains(expected), "{name}: {config:?}");
    }
}

#[test]
fn every_wrong_value_is_named_with_what_it_must_be() {
    const REGION: &str = "must be the name of a region, such as ap-northeast-1";
    const MODEL: &str = "must be a model id, an inference profile's id or an ARN";
    const ARN: &str = "must be a whole ARN: arn:partition:service:region:account:resource";
    const TOKENS: &str = "must be a whole number from 1";
    const TEMPERATURE: &str = "must be a number from 0 to 1, or empty";
    const BYTES: &str = "must be a whole number from 1 to 25000000, the most that Bedrock takes";
    const BASE: &str = "must be a path that begins with /, of letters, digits, -, ., _ and ~ only";
    const LEVEL: &str = "must be debug, info, warn or error";
    const GRAPHIC: &str = "must be printable ASCII without white space";
    const MS: &str = "must be a whole number of milliseconds from 1 to 3600000";
    const ATTEMPTS: &str = "must be a whole number from 1 to 10";
    const FALLBACKS: &str = "must be regions with a model each: \
                             us-east-1=us.anthropic.…,eu-west-1=eu.anthropic.…";
    const URL: &str = "must be an http or https URL with no user, query or fragment";
    const HTTPS: &str = "must be https: plain http is for a loopback address only";
    const PATH: &str =
        "must have a path of letters, digits, -, ., _ and ~ only, with no empty or dot segments";
    const ENDPOINT: &str = "AWS_ENDPOINT_URL_BEDROCK_RUNTIME";
    let too_long = "m".repeat(2049);
    let cases: &[(&str, &str, &str, &str)] = &[
        ("a slash", "BEDROCK_REGION", "us-east-1/x", REGION),
        ("a dot", "BEDROCK_REGION", "us-east-1.example.com", REGION),
        ("upper case", "BEDROCK_REGION", "US-EAST-1", REGION),
        ("a user before the host", "BEDROCK_REGION", "x@us-east-1", REGION),
        ("a fragment", "BEDROCK_REGION", "example#", REGION),
        ("a hyphen first", "BEDROCK_REGION", "-us-east-1", REGION),
        ("a hyphen last", "BEDROCK_REGION", "us-east-", REGION),
        ("not ASCII", "BEDROCK_REGION", "東京", REGION),
        ("a space", "BEDROCK_MODEL_ID", "anthropic claude", MODEL),
        ("a query", "BEDROCK_MODEL_ID", "model?x", MODEL),
        ("a fragment", "BEDROCK_MODEL_ID", "model#x", MODEL),
        ("percent-encoded already", "BEDROCK_MODEL_ID", "model-v1%3A0", MODEL),
        ("a slash outside an ARN", "BEDROCK_MODEL_ID", "model/x", MODEL),
        ("not ASCII", "BEDROCK_MODEL_ID", "モデル", MODEL),
        ("too long", "BEDROCK_MODEL_ID", &too_long, MODEL),
        // WHATWG's URL parser resolves both: the request would go to another path.
        ("a dot segment", "BEDROCK_MODEL_ID", ".", MODEL),
        ("a double dot segment", "BEDROCK_MODEL_ID", "..", MODEL),
        ("an ARN's start", "BEDROCK_MODEL_ID", "arn:", ARN),
        ("no resource", "BEDROCK_MODEL_ID", "arn:aws:bedrock:ap-northeast-1:123456789012", ARN),
        (
            "an empty resource",
            "BEDROCK_MODEL_ID",
            "arn:aws:bedrock:ap-northeast-1:123456789012:",
            ARN,
        ),
        ("no partition", "BEDROCK_MODEL_ID", "arn::bedrock:us-east-1::foundation-model/m", ARN),
        ("no service", "BEDROCK_MODEL_ID", "arn:aws::us-east-1::foundation-model/m", ARN),
        ("zero", "MAX_TOKENS", "0", TOKENS),
        ("negative", "MAX_TOKENS", "-1", TOKENS),
        ("a fraction", "MAX_TOKENS", "1.5", TOKENS),
        ("a word", "MAX_TOKENS", "abc", TOKENS),
        ("one too many", "MAX_TOKENS", "4294967296", TOKENS),
        ("too low", "TEMPERATURE", "-0.1", TEMPERATURE),
        ("too high", "TEMPERATURE", "1.1", TEMPERATURE),
        ("not a number", "TEMPERATURE", "NaN", TEMPERATURE),
        ("infinite", "TEMPERATURE", "inf", TEMPERATURE),
        ("a word", "TEMPERATURE", "hot", TEMPERATURE),
        ("a decimal comma", "TEMPERATURE", "0,7", TEMPERATURE),
        ("zero", "MAX_BODY_BYTES", "0", BYTES),
        ("one too many", "MAX_BODY_BYTES", "25000001", BYTES),
        ("a unit", "MAX_BODY_BYTES", "1MB", BYTES),
        ("zero", "BEDROCK_TIMEOUT_MS", "0", MS),
        ("one too many", "BEDROCK_TIMEOUT_MS", "3600001", MS),
        ("a unit", "BEDROCK_TIMEOUT_MS", "25s", MS),
        ("zero", "BEDROCK_STALL_MS", "0", MS),
        ("negative", "BEDROCK_STALL_MS", "-1", MS),
        ("zero", "BEDROCK_MAX_ATTEMPTS", "0", ATTEMPTS),
        ("one too many", "BEDROCK_MAX_ATTEMPTS", "11", ATTEMPTS),
        ("a region alone", "BEDROCK_FALLBACK_REGIONS", "us-east-1", FALLBACKS),
        ("an empty model", "BEDROCK_FALLBACK_REGIONS", "us-east-1=", FALLBACKS),
        ("an empty region", "BEDROCK_FALLBACK_REGIONS", "=global.anthropic.m", FALLBACKS),
        ("a comma at the end", "BEDROCK_FALLBACK_REGIONS", "us-east-1=m,", FALLBACKS),
        ("a wrong region", "BEDROCK_FALLBACK_REGIONS", "US=m", FALLBACKS),
        ("a wrong model", "BEDROCK_FALLBACK_REGIONS", "us-east-1=m m", FALLBACKS),
        ("no slash first", "BASE_PATH", "ai", BASE),
        ("an empty segment", "BASE_PATH", "//ai", BASE),
        ("a dot segment", "BASE_PATH", "/../ai", BASE),
        ("percent-encoded", "BASE_PATH", "/a%20b", BASE),
        ("a query", "BASE_PATH", "/ai?x", BASE),
        ("unknown", "LOG_LEVEL", "verbose", LEVEL),
        ("unknown", "LOG_UPSTREAM_MESSAGES", "all", "must be known or full"),
        ("a number", "LOG_UPSTREAM_MESSAGES", "1", "must be known or full"),
        ("a number", "LOG_LEVEL", "20", LEVEL),
        ("inner white space", "AWS_ACCESS_KEY_ID", "AKIA EXAMPLE", GRAPHIC),
        ("not ASCII", "AWS_ACCESS_KEY_ID", "鍵", GRAPHIC),
        ("an inner newline", "AWS_SECRET_ACCESS_KEY", "wJalr\nXUtn", GRAPHIC),
        ("an inner tab", "AWS_SESSION_TOKEN", "AQoD\tYXdz", GRAPHIC),
        ("inner white space", "AWS_BEARER_TOKEN_BEDROCK", "two keys", GRAPHIC),
        ("no scheme", ENDPOINT, "example.com", URL),
        ("a path only", ENDPOINT, "/v1", URL),
        ("no host", ENDPOINT, "https:///v1", URL),
        ("a port and no host", ENDPOINT, "https://:8443", URL),
        ("ftp", ENDPOINT, "ftp://example.com", URL),
        ("a user", ENDPOINT, "https://user:pw@example.com", URL),
        ("a query", ENDPOINT, "https://example.com/?x=y", URL),
        ("a fragment", ENDPOINT, "https://example.com/#x", URL),
        ("percent-encoded", ENDPOINT, "https://example.com/a%20b", PATH),
        ("a space", ENDPOINT, "https://example.com/a b", PATH),
        ("a word for a port", ENDPOINT, "https://example.com:abc", URL),
        ("a port too high", ENDPOINT, "https://example.com:65536", URL),
        ("an empty port", ENDPOINT, "https://example.com:", URL),
        ("a port with a sign", ENDPOINT, "https://example.com:+8443", URL),
        ("half a bracket", ENDPOINT, "http://[::1", URL),
        // WHATWG's URL parser would rewrite these, and the signature would not hold.
        ("a port with a zero first", ENDPOINT, "https://example.com:08443", URL),
        ("a backslash", ENDPOINT, r"https://example.com/a\b", PATH),
        ("a brace", ENDPOINT, "https://example.com/{v1}", PATH),
        ("a path that is not ASCII", ENDPOINT, "https://example.com/東京", PATH),
        ("a host that is not ASCII", ENDPOINT, "https://東京.example.com", URL),
        ("http to a public host", ENDPOINT, "http://example.com", HTTPS),
        ("http to a private address", ENDPOINT, "http://192.168.0.1", HTTPS),
        ("IPv4 in brackets", ENDPOINT, "http://[127.0.0.1]", URL),
        ("http to all addresses", ENDPOINT, "http://0.0.0.0:8788", HTTPS),
        ("a host that starts as loopback", ENDPOINT, "http://127.0.0.1.example.com", HTTPS),
        ("a host that starts as localhost", ENDPOINT, "http://localhost.example.com", HTTPS),
        ("a host that ends as localhost", ENDPOINT, "http://notlocalhost", HTTPS),
        ("a dot segment", ENDPOINT, "https://example.com/./v1", PATH),
        ("a double dot segment", ENDPOINT, "https://example.com/v1/..", PATH),
        ("an empty segment", ENDPOINT, "https://example.com/v1//v2", PATH),
        ("an empty segment first", ENDPOINT, "https://example.com//v1", PATH),
    ];
    let failures: Vec<String> = cases
        .iter()
        .filter_map(|(name, variable, value, problem)| {
            let actual = with_keys(&[(variable, value)])
                .map(|config| format!("is accepted: {}", config.endpoint.invoke_uri))
                .map_err(|error| error.problems);
            let expected = Err(vec![format!("{variable} {problem}")]);
            (actual != expected).then(|| format!("{variable}, {name}: {actual:?}"))
        })
        .collect();
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn all_problems_are_reported_in_order() {
    let error = config(&[
        ("LOG_LEVEL", "loud"),
        ("AWS_ENDPOINT_URL_BEDROCK_RUNTIME", "ftp://example.com"),
        ("MAX_TOKENS", "0"),
        ("BEDROCK_REGION", "Tokyo"),
        ("TEMPERATURE", "2"),
        ("BEDROCK_MODEL_ID", "a b"),
        ("MAX_BODY_BYTES", "0"),
    ])
    .unwrap_err();
    let problems = [
        "BEDROCK_REGION must be the name of a region, such as ap-northeast-1",
        "BEDROCK_MODEL_ID must be a model id, an inference profile's id or an ARN",
        "MAX_TOKENS must be a whole number from 1",
        "TEMPERATURE must be a number from 0 to 1, or empty",
        "MAX_BODY_BYTES must be a whole number from 1 to 25000000, the most that Bedrock takes",
        "LOG_LEVEL must be debug, info, warn or error",
        "AWS_ACCESS_KEY_ID is not set",
        "AWS_SECRET_ACCESS_KEY is not set",
        "AWS_ENDPOINT_URL_BEDROCK_RUNTIME must be an http or https URL with no user, query or \
         fragment",
    ];
    assert_eq!(error.problems, problems);
    assert_eq!(error.to_string(), problems.join("; "));
}

/// A secret may have been set under the wrong name.
#[test]
fn no_problem_repeats_the_value() {
    for variable in [
        "BEDROCK_REGION",
        "BEDROCK_MODEL_ID",
        "MAX_TOKENS",
        "TEMPERATURE",
        "MAX_BODY_BYTES",
        "LOG_LEVEL",
        "AWS_BEARER_TOKEN_BEDROCK",
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_SESSION_TOKEN",
        "AWS_ENDPOINT_URL_BEDROCK_RUNTIME",
    ] {
        // What begins as it should is the likelier to be quoted.
        for value in ["hunter2 x", "arn:hunter2 x", "https://hunter2@x y", "hunter2é"] {
            let error =
                with_keys(&[(variable, value)]).expect_err(&format!("{variable} takes {value:?}"));
            assert!(!format!("{error} {error:?}").contains("hunter2"), "{variable}: {error}");
        }
    }
}

#[test]
fn each_set_of_credentials_is_complete_or_its_problems_are_named() {
    const API_KEY: (&str, &str) = ("AWS_BEARER_TOKEN_BEDROCK", "bedrock-api-key");
    const NO_ID: &str = "AWS_ACCESS_KEY_ID is not set";
    const NO_SECRET: &str = "AWS_SECRET_ACCESS_KEY is not set";
    const GRAPHIC: &str = "AWS_ACCESS_KEY_ID must be printable ASCII without white space";
    let [id, secret] = KEYS;
    let token = ("AWS_SESSION_TOKEN", "AQoDYXdzEPT");
    type Vars<'a> = &'a [(&'a str, &'a str)];
    type Expected = Result<&'static [&'static str], &'static [&'static str]>;
    let cases: &[(&str, Vars, Expected)] = &[
        ("long-term", &[id, secret], Ok(&[ID, SECRET])),
        ("temporary", &[id, secret, token], Ok(&[ID, SECRET, "AQoDYXdzEPT"])),
        ("an empty token", &[id, secret, (token.0, "")], Ok(&[ID, SECRET])),
        ("a newline at the end", &[id, (secret.0, "secret\n")], Ok(&[ID, "secret"])),
        ("an API key", &[API_KEY], Ok(&["bedrock-api-key"])),
        ("an API key and keys", &[id, secret, token, API_KEY], Ok(&["bedrock-api-key"])),
        ("an API key and half a key", &[id, API_KEY], Ok(&["bedrock-api-key"])),
        ("an empty API key", &[id, secret, (API_KEY.0, "")], Ok(&[ID, SECRET])),
        ("an id only", &[id], Err(&[NO_SECRET])),
        ("a secret only", &[secret], Err(&[NO_ID])),
        ("a token only", &[token], Err(&[NO_ID, NO_SECRET])),
        ("none", &[], Err(&[NO_ID, NO_SECRET])),
        ("an id set to nothing", &[(id.0, " "), secret], Err(&[NO_ID])),
        ("a bad id and no secret", &[(id.0, "a b")], Err(&[GRAPHIC, NO_SECRET])),
    ];
    let failures: Vec<String> = cases
        .iter()
        .filter_map(|(name, vars, expected)| {
            let config = config(vars);
            let actual = match &config {
                Ok(config) => Ok(config.authentication.secrets().collect()),
                Err(error) => Err(error.problems.iter().map(String::as_str).collect()),
            };
            let expected = expected.map(<[_]>::to_vec).map_err(<[_]>::to_vec);
            (actual != expected).then(|| format!("{name}: {actual:?}"))
        })
        .collect();
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn model_ids_are_percent_encoded_once() {
    for (name, model_id, expected) in [
        ("plain", "anthropic.claude-v2", "anthropic.claude-v2"),
        ("unreserved", "a-b.c_d", "a-b.c_d"),
        (
            "profile",
            "global.anthropic.claude-sonnet-4-20250514-v1:0",
            "global.anthropic.claude-sonnet-4-20250514-v1%3A0",
        ),
        (
            "foundation model, whose ARN has no account",
            "arn:aws:bedrock:ap-northeast-1::foundation-model/anthropic.claude-v2",
            "arn%3Aaws%3Abedrock%3Aap-northeast-1%3A%3Afoundation-model%2Fanthropic.claude-v2",
        ),
        (
            "inference profile",
            "arn:aws:bedrock:ap-northeast-1:123456789012:inference-profile/apac.m-v1:0",
            "arn%3Aaws%3Abedrock%3Aap-northeast-1%3A123456789012%3Ainference-profile%2Fapac.m-v1%3A0",
        ),
        (
            "application inference profile",
            "arn:aws:bedrock:ap-northeast-1:123456789012:application-inference-profile/abc123",
            "arn%3Aaws%3Abedrock%3Aap-northeast-1%3A123456789012%3Aapplication-inference-profile\
             %2Fabc123",
        ),
        (
            "provisioned model",
            "arn:aws:bedrock:ap-northeast-1:123456789012:provisioned-model/abc123",
            "arn%3Aaws%3Abedrock%3Aap-northeast-1%3A123456789012%3Aprovisioned-model%2Fabc123",
        ),
    ] {
        let config = with_keys(&[("BEDROCK_MODEL_ID", model_id)])
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(config.endpoint.model_id, model_id, "{name}");
        assert_eq!(
            config.endpoint.invoke_uri.to_string(),
            format!("https://bedrock-runtime.ap-northeast-1.amazonaws.com/model/{expected}/invoke"),
            "{name}"
        );
    }
}

#[test]
fn an_endpoint_is_normalized_as_the_url_parser_does() {
    for (name, endpoint, expected) in [
        ("https", "https://example.com", "https://example.com"),
        ("a trailing slash", "https://example.com/", "https://example.com"),
        ("a path", "https://example.com/v1/Acct/gw", "https://example.com/v1/Acct/gw"),
        ("a path with a trailing slash", "https://example.com/v1/", "https://example.com/v1"),
        ("dots within a segment", "https://example.com/..v1./x", "https://example.com/..v1./x"),
        ("upper case", "HTTPS://Example.COM/V1", "https://example.com/V1"),
        ("a port", "https://example.com:8443", "https://example.com:8443"),
        ("https's port", "https://example.com:443/v1", "https://example.com/v1"),
        ("http's port under https", "https://example.com:80", "https://example.com:80"),
        ("loopback", "http://127.0.0.1:8788", "http://127.0.0.1:8788"),
        ("loopback, http's port", "http://127.0.0.1:80", "http://127.0.0.1"),
        ("another loopback", "http://127.9.9.9", "http://127.9.9.9"),
        ("IPv6 loopback", "http://[::1]:8788", "http://[::1]:8788"),
        ("IPv6 loopback, http's port", "http://[::1]:80/", "http://[::1]"),
        ("localhost", "http://localhost:8788", "http://localhost:8788"),
        ("LOCALHOST", "http://LOCALHOST", "http://localhost"),
    ] {
        let vars = [("AWS_ENDPOINT_URL_BEDROCK_RUNTIME", endpoint), ("BEDROCK_MODEL_ID", "m:0")];
        let config = with_keys(&vars).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(
            config.endpoint.invoke_uri.to_string(),
            format!("{expected}/model/m%3A0/invoke"),
            "{name}"
        );
    }
}

#[test]
fn each_region_has_its_own_endpoint_and_model() {
    const FALLBACKS: (&str, &str) =
        ("BEDROCK_FALLBACK_REGIONS", "us-east-1=us.m:0, eu-west-1=eu.m");
    for (name, endpoint, expected) in [
        (
            "AWS's own",
            None,
            [
                "https://bedrock-runtime.ap-northeast-1.amazonaws.com/model/m/invoke",
                "https://bedrock-runtime.us-east-1.amazonaws.com/model/us.m%3A0/invoke",
                "https://bedrock-runtime.eu-west-1.amazonaws.com/model/eu.m/invoke",
            ],
        ),
        (
            "a host for each",
            Some("https://bedrock.{region}.example.com"),
            [
                "https://bedrock.ap-northeast-1.example.com/model/m/invoke",
                "https://bedrock.us-east-1.example.com/model/us.m%3A0/invoke",
                "https://bedrock.eu-west-1.example.com/model/eu.m/invoke",
            ],
        ),
        (
            "a path for each",
            Some("http://127.0.0.1:80/{region}/"),
            [
                "http://127.0.0.1/ap-northeast-1/model/m/invoke",
                "http://127.0.0.1/us-east-1/model/us.m%3A0/invoke",
                "http://127.0.0.1/eu-west-1/model/eu.m/invoke",
            ],
        ),
    ] {
        let mut vars = vec![("BEDROCK_MODEL_ID", "m"), FALLBACKS];
        vars.extend(endpoint.map(|url| ("AWS_ENDPOINT_URL_BEDROCK_RUNTIME", url)));
        let config = with_keys(&vars).unwrap_or_else(|error| panic!("{name}: {error}"));
        let endpoints: Vec<&Endpoint> =
            std::iter::once(&config.endpoint).chain(&config.fallbacks).collect();
        let uris: Vec<String> = endpoints.iter().map(|it| it.invoke_uri.to_string()).collect();
        assert_eq!(uris, expected, "{name}");
        let regions: Vec<&str> = endpoints.iter().map(|it| &*it.region).collect();
        assert_eq!(regions, ["ap-northeast-1", "us-east-1", "eu-west-1"], "{name}");
    }

    let vars = [FALLBACKS, ("AWS_ENDPOINT_URL_BEDROCK_RUNTIME", "https://example.com")];
    let expected =
        "AWS_ENDPOINT_URL_BEDROCK_RUNTIME must have {region} in it, since there are other regions";
    assert_eq!(with_keys(&vars).unwrap_err().problems, [expected]);
}

#[test]
fn only_the_default_and_the_allowed_models_are_found() {
    const PROBLEM: &str = "ALLOWED_MODELS must be a list of model ids, inference profiles' ids and ARNs, of \
                           patterns of them such as us.anthropic.*, or *";
    type Models<'a> = Result<&'a [&'a str], &'a str>;
    let cases: [(&str, &str, Models); 9] = [
        ("none", "", Ok(&[])),
        ("one", "jp.m-v1:0", Ok(&["jp.m-v1:0"])),
        ("with commas", "a,b , c", Ok(&["a", "b", "c"])),
        ("with spaces and lines", "a b\nc\td", Ok(&["a", "b", "c", "d"])),
        ("commas alone", ", ,,", Ok(&[])),
        (
            "an ARN",
            "arn:aws:bedrock:ap-northeast-1:123456789012:provisioned-model/a,b",
            Ok(&["arn:aws:bedrock:ap-northeast-1:123456789012:provisioned-model/a", "b"]),
        ),
        ("a path", "a,../b", Err(PROBLEM)),
        ("half an ARN", "arn:aws:bedrock", Err(PROBLEM)),
        ("quoted", "[\"a\"]", Err(PROBLEM)),
    ];
    for (name, text, expected) in cases {
        let config = with_keys(&[("ALLOWED_MODELS", text), ("BEDROCK_MODEL_ID", "default")]);
        let actual = config
            .as_ref()
            .map(|config| config.allowed_models.iter().map(|it| &*it.model_id).collect::<Vec<_>>());
        let actual = actual.map_err(|error| error.to_string());
        assert_eq!(actual, expected.map(<[_]>::to_vec).map_err(str::to_owned), "{name}");
        let Ok(config) = config else { continue };
        let find = |id| config.find_model(id).map(|it| it.model_id.clone());
        assert_eq!(find(None).as_deref(), Some("default"), "{name}");
        assert_eq!(find(Some("default")).as_deref(), Some("default"), "{name}");
        assert_eq!(find(Some("other")), None, "{name}");
        for model in &config.allowed_models {
            assert_eq!(find(Some(&model.model_id)).as_ref(), Some(&model.model_id), "{name}");
        }
    }
    let vars = [
        ("ALLOWED_MODELS", "us.m-v1:0"),
        ("BEDROCK_REGION", "us-east-1"),
        ("BEDROCK_MODEL_ID", "default"),
    ];
    let config = with_keys(&vars).unwrap();
    assert_eq!(
        config.allowed_models[0].stream_uri.to_string(),
        "https://bedrock-runtime.us-east-1.amazonaws.com\
         /model/us.m-v1%3A0/invoke-with-response-stream",
    );
}

#[test]
fn secrets_are_not_printed() {
    let token = "AQoDYXdzEPT";
    let api_key = "bedrock-api-key";
    for (name, vars, expected) in [
        ("keys", ("AWS_SESSION_TOKEN", token), "authentication: SigV4(Credentials([redacted]))"),
        ("an API key", ("AWS_BEARER_TOKEN_BEDROCK", api_key), "authentication: ApiKey([redacted])"),
    ] {
        let printed = format!("{:?}", with_keys(&[vars]).unwrap());
        assert!(printed.contains(expected), "{name}: {printed}");
        for secret in [ID, SECRET, token, api_key] {
            assert!(!printed.contains(secret), "{name}: {printed}");
        }
    }
    assert_eq!(format!("{:?}", Secret::new("hunter2")), "[redacted]");
    assert_eq!(format!("{:#?}", Secret::new("hunter2")), "[redacted]");
}

#[test]
fn only_paths_below_the_base_path_have_a_route() {
    let cases = [
        ("", "/", "/"),
        ("", "/healthz", "/healthz"),
        // `OPTIONS *` has no path.
        ("", "", ""),
        ("/ai", "/ai", "/"),
        ("/ai", "/ai/", "/"),
        ("/ai", "/ai/ws", "/ws"),
        ("/ai", "/ai//", "//"),
        ("/ai", "/", ""),
        ("/ai", "/ws", ""),
        ("/ai", "/aims", ""),
        ("/ai", "/AI", ""),
    ];
    for (base, path, expected) in cases {
        let config = with_keys(&[("BASE_PATH", base)]).unwrap();
        assert_eq!(config.path_below(path), expected, "{path} below {base:?}");
    }
}

#[test]
fn a_name_before_the_id_says_which_model_it_is() {
    const ARN: &str =
        "arn:aws:bedrock:ap-northeast-1:123456789012:application-inference-profile/a1";
    let (default, fallback) =
        (format!("claude-sonnet-5-5={ARN}"), format!("ap-northeast-1=claude-opus-5={ARN}"));
    let config = with_keys(&[
        ("BEDROCK_MODEL_ID", &default),
        ("ALLOWED_MODELS", "claude-haiku-4-5=jp.m, global.anthropic.claude-opus-4-8"),
        ("BEDROCK_FALLBACK_REGIONS", &fallback),
    ])
    .unwrap();
    let name = |endpoint: &Endpoint| endpoint.model.map(|model| model.name);
    assert_eq!(config.endpoint.model_id, ARN);
    assert_eq!(name(&config.endpoint), Some("claude-sonnet-5-5"));
    assert_eq!(config.allowed_models[0].model_id, "jp.m");
    assert_eq!(name(&config.fallbacks[0]), Some("claude-opus-5"));
    let find = |name| config.find_model(Some(name)).map(|it| it.model_id.clone());
    assert_eq!(find("claude-sonnet-5-5").as_deref(), Some(ARN));
    assert_eq!(find("claude-haiku-4-5").as_deref(), Some("jp.m"));
    assert_eq!(find("claude-opus-4-8").as_deref(), Some("global.anthropic.claude-opus-4-8"));
    assert_eq!(find("claude-opus-5"), None);

    const UNKNOWN: &str = "has a name before its = that is not in the table of models: \
                           expected one such as claude-sonnet-5-5";
    for variable in ["BEDROCK_MODEL_ID", "ALLOWED_MODELS"] {
        for value in ["claude-sonnet-9=us.m", "=us.m", "us.m=claude-sonnet-5-5"] {
            let error = with_keys(&[(variable, value)]).unwrap_err();
            assert_eq!(error.problems, [format!("{variable} {UNKNOWN}")], "{value}");
        }
    }
    let error = with_keys(&[("BEDROCK_MODEL_ID", "claude-sonnet-5-5=")]).unwrap_err();
    let problem = "BEDROCK_MODEL_ID must be a model id, an inference profile's id or an ARN";
    assert_eq!(error.problems, [problem]);
}

#[test]
fn a_request_may_name_every_id_that_fits_a_pattern() {
    const PROFILE: &str = "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/";
    let patterns = format!("us.anthropic.*, amazon.*, {PROFILE}*");
    let config = with_keys(&[
        ("BEDROCK_REGION", "us-east-1"),
        ("BEDROCK_MODEL_ID", "global.anthropic.claude-opus-5-5"),
        ("ALLOWED_MODELS", &patterns),
    ])
    .unwrap();
    let (profile, other) = (format!("{PROFILE}a1"), PROFILE.replace("1234", "9999") + "a1");
    for (name, expected) in [
        // Rows of the table, by id and by name.
        ("us.anthropic.claude-sonnet-5-5", Some("us.anthropic.claude-sonnet-5-5")),
        ("claude-sonnet-5-5", Some("us.anthropic.claude-sonnet-5-5")),
        ("claude-opus-5-5", Some("global.anthropic.claude-opus-5-5")),
        ("us.anthropic.claude-opus-5-5", Some("us.anthropic.claude-opus-5-5")),
        // Not of the table.
        ("us.anthropic.claude-9", Some("us.anthropic.claude-9")),
        ("amazon.titan-text-lite-v1", Some("amazon.titan-text-lite-v1")),
        (&profile, Some(&*profile)),
        // Not fitting, or not an id.
        ("eu.anthropic.claude-sonnet-5-5", None),
        (&other, None),
        ("us.anthropic.a/../b", None),
        ("us.anthropic.a b", None),
        ("us.anthropic.*", None),
        ("", None),
    ] {
        let found = config.find_model(Some(name)).map(|it| it.model_id.clone());
        assert_eq!(found.as_deref(), expected, "{name}");
    }
    let listed = |id: &str| config.callable().any(|it| it.model_id == id);
    assert!(listed("us.anthropic.claude-haiku-5-5") && !listed("us.anthropic.claude-9"));
    let uri = config.find_model(Some(&profile)).unwrap().invoke_uri.to_string();
    assert!(
        uri.starts_with("https://bedrock-runtime.us-east-1.amazonaws.com/model/arn%3Aaws"),
        "{uri}"
    );

    for (pattern, is_valid) in [("us.*", true), ("*.*", true), ("a*/b", false), ("ü*", false)] {
        let config = with_keys(&[("ALLOWED_MODELS", pattern)]);
        assert_eq!(config.is_ok(), is_valid, "{pattern}");
    }
}

#[test]
fn few_tokens_for_a_model_that_always_thinks_are_a_warning() {
    let warning = "MAX_TOKENS is 1023, and claude-sonnet-5-5 always thinks before it replies, which counts: \
                   replies may have no text. Set MAX_TOKENS to 1024 or more";
    for (variable, value, tokens, expected) in [
        ("BEDROCK_MODEL_ID", "global.anthropic.claude-sonnet-5-5", "1023", vec![warning]),
        ("BEDROCK_MODEL_ID", "global.anthropic.claude-sonnet-5-5", "1024", vec![]),
        ("BEDROCK_MODEL_ID", "claude-sonnet-5-5=jp.m", "1023", vec![warning]),
        ("ALLOWED_MODELS", "jp.m, global.anthropic.claude-sonnet-5-5", "1023", vec![warning]),
        (
            "BEDROCK_FALLBACK_REGIONS",
            "us-east-1=global.anthropic.claude-sonnet-5-5",
            "1023",
            vec![warning],
        ),
        ("BEDROCK_MODEL_ID", "global.anthropic.claude-haiku-5-5", "1023", vec![]),
        ("BEDROCK_MODEL_ID", "jp.m", "1", vec![]),
    ] {
        let config = with_keys(&[(variable, value), ("MAX_TOKENS", tokens)]).unwrap();
        assert_eq!(config.warnings, expected, "{variable}={value} {tokens}");
    }
}

#[test]
fn a_guardrail_has_an_id_and_a_version() {
    let (id, version) = ("BEDROCK_GUARDRAIL_ID", "BEDROCK_GUARDRAIL_VERSION");
    let arn = "arn:aws:bedrock:ap-northeast-1:123456789012:guardrail/a1b2c3";
    for (value, number) in [("a1b2c3", "1"), ("a1b2c3", "DRAFT"), (arn, "12345678")] {
        let guardrail = with_keys(&[(id, value), (version, number)]).unwrap().guardrail.unwrap();
        assert_eq!(
            (guardrail.id, guardrail.version),
            (value.parse().unwrap(), number.parse().unwrap())
        );
    }
    assert_eq!(with_keys(&[(id, ""), (version, " ")]).unwrap().guardrail, None);
    const ID: &str = "BEDROCK_GUARDRAIL_ID must be the id or the ARN of a guardrail";
    const VERSION: &str = "BEDROCK_GUARDRAIL_VERSION must be the number of a version, or DRAFT";
    #[rustfmt::skip]
    let wrong: [(&[(&str, &str)], &str); 14] = [
        (&[(id, "a1b2c3")], "BEDROCK_GUARDRAIL_VERSION is not set, and BEDROCK_GUARDRAIL_ID is"),
        (&[(version, "1")], "BEDROCK_GUARDRAIL_ID is not set, and BEDROCK_GUARDRAIL_VERSION is"),
        (&[(id, "A1"), (version, "1")], ID),
        (&[(id, "a b"), (version, "1")], ID),
        (&[(id, "arn:aws:bedrock:ap-northeast-1:1:model/a"), (version, "1")], ID),
        (&[(id, "arn:aws:iam:us-east-1:1:guardrail/a"), (version, "1")], ID),
        (&[(id, "arn:aws:bedrock::1:guardrail/a"), (version, "1")], ID),
        (
            &[(id, "arn:aws:bedrock:us-east-1:1:guardrail/a"), (version, "1")],
            "BEDROCK_GUARDRAIL_ID is an ARN of another region than BEDROCK_REGION",
        ),
        (
            &[(id, "a"), (version, "1"), ("BEDROCK_MESSAGES", "native")],
            "BEDROCK_GUARDRAIL_ID is for InvokeModel: take BEDROCK_MESSAGES=native out",
        ),
        (&[(id, "a"), (version, "0")], VERSION),
        (&[(id, "a"), (version, "drafts")], VERSION),
        (&[(id, "a"), (version, "123456789")], VERSION),
        (&[(id, "a"), (version, "-1")], VERSION),
        (
            &[(id, "a"), (version, "1"), ("BEDROCK_FALLBACK_REGIONS", "us-east-1=us.m")],
            "BEDROCK_GUARDRAIL_ID belongs to one region: take BEDROCK_FALLBACK_REGIONS out",
        ),
    ];
    for (vars, problem) in wrong {
        assert_eq!(with_keys(vars).unwrap_err().problems, [problem], "{vars:?}");
    }
}

#[test]
fn the_javascript_option_auth_replaces_every_variable_of_authentication() {
    let source = include_str!("../worker/bedrock.js");
    let (_, list) = source.split_once("const ACCESS = [").unwrap();
    let (list, _) = list.split_once(']').unwrap();
    let listed: BTreeSet<&str> = list.split('"').skip(1).step_by(2).collect();
    let read = RefCell::new(BTreeSet::new());
    let mut vars = Variables::new(|name| {
        read.borrow_mut().insert(name.to_owned());
        None
    });
    Access::read(&mut vars).unwrap();
    let mut read = read.into_inner();
    // It says which pages may call, and not who calls.
    assert!(read.remove("ALLOWED_ORIGINS") && read.remove("ALLOWED_HEADERS"));
    assert!(listed.iter().eq(&read), "{listed:?} {read:?}");
}

#[test]
fn a_model_or_role_of_another_place_is_a_problem() {
    const ARN: &str = "has an ARN of another region than the one that it is called in";
    const PROFILE: &str = "has an inference profile that does not exist in the region that it is called in: \
                           its prefix, such as us. or eu., must be that of the region";
    let arn = "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/a1";
    let named = format!("claude-opus-5={arn}");
    let fallback = format!("eu-west-1={arn}");
    #[rustfmt::skip]
    let cases: [(&[(&str, &str)], String); 9] = [
        (&[("BEDROCK_MODEL_ID", arn)], format!("BEDROCK_MODEL_ID {ARN}")),
        (&[("BEDROCK_MODEL_ID", &named)], format!("BEDROCK_MODEL_ID {ARN}")),
        (&[("ALLOWED_MODELS", arn)], format!("ALLOWED_MODELS {ARN}")),
        (&[("BEDROCK_FALLBACK_REGIONS", &fallback)], format!("BEDROCK_FALLBACK_REGIONS {ARN}")),
        (&[("BEDROCK_MODEL_ID", "us.anthropic.claude-opus-5")], format!("BEDROCK_MODEL_ID {PROFILE}")),
        // The default model has the profile of another geography.
        (&[("BEDROCK_REGION", "us-east-1")], format!("BEDROCK_MODEL_ID {PROFILE}")),
        (&[("ALLOWED_MODELS", "a, eu.anthropic.m")], format!("ALLOWED_MODELS {PROFILE}")),
        (&[("BEDROCK_FALLBACK_REGIONS", "us-east-1=eu.m")], format!("BEDROCK_FALLBACK_REGIONS {PROFILE}")),
        (
            &[("AWS_ROLE_ARN", "arn:aws-cn:iam::123456789012:role/r")],
            "AWS_ROLE_ARN is an ARN of another partition than BEDROCK_REGION's".to_owned(),
        ),
    ];
    for (vars, problem) in cases {
        assert_eq!(with_keys(vars).unwrap_err().problems, [problem], "{vars:?}");
    }
    let vars = [("BEDROCK_REGION", "us-east-1"), ("BEDROCK_MODEL_ID", arn)];
    assert_eq!(with_keys(&vars).unwrap().endpoint.model_id, arn);
}

#[test]
fn the_endpoints_are_those_of_the_partition_and_the_variant() {
    let role = ("AWS_ROLE_ARN", "arn:aws-us-gov:iam::123456789012:role/r");
    let (fips, dual) = (("AWS_USE_FIPS_ENDPOINT", "true"), ("AWS_USE_DUALSTACK_ENDPOINT", "TRUE"));
    let gov = ("BEDROCK_REGION", "us-gov-west-1");
    let model = ("BEDROCK_MODEL_ID", "m");
    type Case<'a> = (&'a [(&'a str, &'a str)], &'a str, &'a str);
    #[rustfmt::skip]
    let cases: [Case; 7] = [
        (&[model], "bedrock-runtime.ap-northeast-1.amazonaws.com", ""),
        (&[model, fips], "bedrock-runtime-fips.ap-northeast-1.amazonaws.com", ""),
        (&[model, dual], "bedrock-runtime.ap-northeast-1.api.aws", ""),
        (&[model, ("BEDROCK_REGION", "cn-north-1")], "bedrock-runtime.cn-north-1.amazonaws.com.cn", ""),
        (&[model, ("BEDROCK_REGION", "eusc-de-east-1")], "bedrock-runtime.eusc-de-east-1.amazonaws.eu", ""),
        (&[model, gov, role, fips], "bedrock-runtime-fips.us-gov-west-1.amazonaws.com", "sts.us-gov-west-1.amazonaws.com"),
        (&[model, gov, role, fips, dual], "bedrock-runtime-fips.us-gov-west-1.api.aws", "sts-fips.us-gov-west-1.api.aws"),
    ];
    for (vars, bedrock, sts) in cases {
        let config = with_keys(vars).unwrap();
        assert_eq!(config.endpoint.invoke_uri.host(), Some(bedrock), "{vars:?}");
        if let Authentication::AssumeRole(role) = &config.authentication {
            assert_eq!(role.endpoint.host(), Some(sts), "{vars:?}");
        }
    }
    let url = ("AWS_ENDPOINT_URL_BEDROCK_RUNTIME", "https://example.com");
    for (variable, value, problem) in [
        ("AWS_USE_FIPS_ENDPOINT", "yes", "must be true or false"),
        ("AWS_USE_DUALSTACK_ENDPOINT", "1", "must be true or false"),
        (
            "AWS_USE_FIPS_ENDPOINT",
            "true",
            "excludes AWS_ENDPOINT_URL_BEDROCK_RUNTIME, which says where the endpoint is",
        ),
    ] {
        let error = with_keys(&[url, (variable, value)]).unwrap_err();
        assert_eq!(error.problems, [format!("{variable} {problem}")]);
    }
    assert!(with_keys(&[url, ("AWS_USE_FIPS_ENDPOINT", "false")]).is_ok());
}

#[test]
fn a_role_may_have_an_external_id_a_duration_and_tags() {
    let role = ("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/r");
    let vars = [
        role,
        ("AWS_ROLE_EXTERNAL_ID", "edge:1/a"),
        ("AWS_ROLE_DURATION_SECONDS", "900"),
        ("AWS_ROLE_SESSION_TAGS", "team=AI 東京, cost-center=a@b ,empty="),
    ];
    let Authentication::AssumeRole(settings) = with_keys(&vars).unwrap().authentication else {
        panic!("no role");
    };
    assert_eq!(settings.external_id.as_deref(), Some("edge:1/a"));
    assert_eq!(settings.duration, Some(900));
    let tags: Vec<(&str, &str)> =
        settings.tags.iter().map(|(key, value)| (&**key, &**value)).collect();
    assert_eq!(tags, [("team", "AI 東京"), ("cost-center", "a@b"), ("empty", "")]);

    const ID: &str = "must be 2 to 1224 letters, digits and _+=,.@:/-";
    const DURATION: &str = "must be a whole number of seconds from 900 to 43200";
    const TAGS: &str = "must be up to 50 tags of the form key=value";
    let many = (0..51).map(|number| format!("k{number}=v")).collect::<Vec<_>>().join(",");
    let long = format!("{}=v", "k".repeat(129));
    for (variable, value, problem) in [
        ("AWS_ROLE_EXTERNAL_ID", "a", ID),
        ("AWS_ROLE_EXTERNAL_ID", "a b", ID),
        ("AWS_ROLE_DURATION_SECONDS", "899", DURATION),
        ("AWS_ROLE_DURATION_SECONDS", "43201", DURATION),
        ("AWS_ROLE_DURATION_SECONDS", "1h", DURATION),
        ("AWS_ROLE_SESSION_TAGS", "team", TAGS),
        ("AWS_ROLE_SESSION_TAGS", "=a", TAGS),
        ("AWS_ROLE_SESSION_TAGS", "a=b,A=c", TAGS),
        ("AWS_ROLE_SESSION_TAGS", "a=b!", TAGS),
        ("AWS_ROLE_SESSION_TAGS", "a=b,", TAGS),
        ("AWS_ROLE_SESSION_TAGS", &many, TAGS),
        ("AWS_ROLE_SESSION_TAGS", &long, TAGS),
    ] {
        let error = with_keys(&[role, (variable, value)]).unwrap_err().to_string();
        assert!(error.starts_with(&format!("{variable} {problem}")), "{value}: {error}");
    }
}
