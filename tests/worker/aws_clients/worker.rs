//! AWS's clients through the Worker, with a key that the Worker issued. An application must not see a difference
//! from the stand-in.

use bedrock_stub::Received;
use serde_json::{Value, json};

use super::{REPLIES, assert_aws_cli, assert_errors, assert_replies, aws_cli};
use crate::support::aws_clients::{Client, Endpoint, TlsProxy, stand_in, worker};
use crate::support::fixture::{ACCESS_KEY_ID, Fixture};
use crate::support::signer::CLIENT_KEY_ID;

/// Asserts that two outcomes are the same, and says where they differ.
fn assert_same(path: &str, through: &Value, direct: &Value) {
    match (through, direct) {
        (Value::Object(one), Value::Object(other)) => {
            for (key, value) in one {
                let other = other.get(key).unwrap_or(&Value::Null);
                assert_same(&format!("{path}/{key}"), value, other);
            }
            let missing: Vec<_> = other.keys().filter(|key| !one.contains_key(*key)).collect();
            assert!(missing.is_empty(), "{path}: {missing:?} are missing");
        }
        (Value::Array(one), Value::Array(other)) if one.len() == other.len() => {
            for (index, (one, other)) in one.iter().zip(other).enumerate() {
                assert_same(&format!("{path}/{index}"), one, other);
            }
        }
        _ => assert_eq!(through, direct, "{path}"),
    }
}

/// Runs cases against the stand-in and through the Worker, and asserts that the outcomes are the same. Returns
/// them.
async fn run_both(client: Client, cases: &[&str]) -> (Value, Fixture) {
    let (stub, direct) = stand_in().await;
    let (fixture, through) = worker(&json!({})).await;
    let outcomes = [client.outcomes(&direct, cases).await, client.outcomes(&through, cases).await];
    let [direct, through] = outcomes;
    for case in cases {
        assert_same(&format!("{client:?}/{case}"), &through[case], &direct[case]);
    }
    assert_same_requests(client, &stub.requests(), &fixture.stub.requests());
    (through, fixture)
}

/// Asserts that the same requests arrived at Bedrock, signed with the key of the Worker.
fn assert_same_requests(client: Client, direct: &[Received], through: &[Received]) {
    let is_call = |request: &&Received| request.method == "POST";
    let (direct, through): (Vec<_>, Vec<_>) =
        (direct.iter().filter(is_call).collect(), through.iter().filter(is_call).collect());
    assert_eq!(through.len(), direct.len(), "{client:?}");
    for (through, direct) in through.iter().zip(direct) {
        assert_eq!(through.body, direct.body, "{client:?}: {}", direct.target);
        let decoded = |target: &str| target.replace("%3A", ":");
        assert_eq!(decoded(&through.target), decoded(&direct.target), "{client:?}");
        let authorization = through.header("authorization").unwrap();
        assert!(authorization.contains(ACCESS_KEY_ID), "{client:?}: {authorization}");
        assert!(!authorization.contains(CLIENT_KEY_ID), "{client:?}: {authorization}");
    }
}

#[tokio::test]
async fn boto3_sees_no_difference() {
    let mut cases = REPLIES.to_vec();
    cases.extend(["content", "cache", "catalog", "retries"]);
    let (outcomes, fixture) = run_both(Client::Boto3, &cases).await;
    assert_replies(Client::Boto3, &outcomes);
    let callers = fixture.worker.log_lines();
    let caller = format!("key:{CLIENT_KEY_ID}");
    assert!(callers.iter().all(|line| line["caller"] == caller), "{callers:#?}");
}

#[tokio::test]
async fn boto3_raises_each_error_as_its_own_class() {
    let cases = ["errors", "stream_errors", "refused"];
    let (outcomes, _) = run_both(Client::Boto3, &cases).await;
    assert_errors(Client::Boto3, &outcomes);
}

#[tokio::test]
async fn the_aws_sdk_for_javascript_sees_no_difference() {
    let mut cases = REPLIES.to_vec();
    cases.push("retries");
    let (outcomes, _) = run_both(Client::AwsSdkJs, &cases).await;
    assert_replies(Client::AwsSdkJs, &outcomes);
    let cases = ["errors", "stream_errors", "refused"];
    let (outcomes, _) = run_both(Client::AwsSdkJs, &cases).await;
    assert_errors(Client::AwsSdkJs, &outcomes);
}

#[tokio::test]
async fn anthropics_clients_for_bedrock_see_no_difference() {
    for client in [Client::AnthropicPython, Client::AnthropicJs] {
        run_both(client, &["create", "stream", "tools", "errors"]).await;
        let (_stub, direct) = stand_in().await;
        let (_fixture, through) = worker(&json!({})).await;
        let cases = ["credentials", "bearer"];
        let direct = client.outcomes(&direct, &cases).await;
        assert_same(&format!("{client:?}"), &client.outcomes(&through, &cases).await, &direct);
    }
}

#[tokio::test]
async fn langchain_sees_no_difference() {
    run_both(Client::LangChain, &["invoke", "stream", "tools", "structured", "errors"]).await;
}

#[tokio::test]
async fn the_aws_cli_sees_no_difference() {
    let (_fixture, endpoint) = worker(&json!({})).await;
    assert_aws_cli(&aws_cli(&endpoint).await);
}

/// Returns the name, the status and the words of each error.
fn refusals(outcomes: &Value, case: &str) -> Vec<(String, Value, Value, String)> {
    let errors = outcomes[case].as_object().unwrap().iter();
    errors
        .map(|(name, error)| {
            let code = error.get("code").unwrap_or(&error["name"]).clone();
            let message = error["message"].as_str().unwrap_or_default();
            let first = message.lines().next().unwrap_or_default().to_owned();
            (name.clone(), code, error["status"].clone(), first)
        })
        .collect()
}

#[tokio::test]
async fn a_credential_that_is_not_accepted_is_refused_as_aws_refuses_it() {
    for client in [Client::Boto3, Client::AwsSdkJs] {
        let (_stub, direct) = stand_in().await;
        let (fixture, through) = worker(&json!({})).await;
        let direct = client.outcomes(&direct, &["credentials"]).await;
        let through = client.outcomes(&through, &["credentials"]).await;
        let (through, mut direct) =
            (refusals(&through, "credentials"), refusals(&direct, "credentials"));
        // The Worker does not tell whether a key exists.
        let wrong = direct.iter().find(|it| it.0 == "a wrong secret").cloned().unwrap();
        let unknown = direct.iter_mut().find(|it| it.0 == "an unknown key").unwrap();
        *unknown = (unknown.0.clone(), wrong.1, wrong.2, wrong.3);
        assert_eq!(through, direct, "{client:?}");
        assert!(fixture.stub.requests().is_empty(), "{client:?}");
    }
}

#[tokio::test]
async fn an_operation_that_is_not_served_is_an_error_and_never_a_success() {
    for (client, cases) in [
        (Client::Boto3, &["list_async_invokes", "start_async_invoke"][..]),
        (Client::AwsSdkJs, &["list_async_invokes"][..]),
    ] {
        let (fixture, endpoint) = worker(&json!({})).await;
        let outcomes = client.outcomes(&endpoint, &["not_served"]).await;
        for case in cases {
            let error = &outcomes["not_served"][case];
            let code = error.get("code").unwrap_or(&error["name"]);
            assert_eq!(code, "UnknownOperationException", "{client:?}, {case}: {error}");
            assert_eq!(error["status"], 404, "{client:?}, {case}: {error}");
        }
        assert!(fixture.stub.requests().is_empty(), "{client:?}");
    }
}

#[tokio::test]
async fn a_bearer_token_is_taken_over_tls() {
    let (_stub, mut direct) = stand_in().await;
    let (fixture, mut through) = worker(&json!({})).await;
    let mut outcomes = Vec::new();
    for endpoint in [&mut direct, &mut through] {
        let port = endpoint.url.rsplit(':').next().unwrap().parse().unwrap();
        let proxy = TlsProxy::start(port).await;
        endpoint.url = format!("https://localhost:{}", proxy.port);
        endpoint.key = None;
        endpoint.certificates = Some(proxy.certificate.clone());
        outcomes.push(tls_outcomes(endpoint).await);
    }
    assert_same("over TLS", &outcomes[1], &outcomes[0]);
    assert!(outcomes[0]["boto3"]["converse_stream"].is_array(), "{outcomes:#?}");
    let lines = fixture.worker.log_lines();
    let served = lines.iter().filter(|line| line["caller"] == "token:claude").count();
    assert_eq!(served, 6, "{lines:#?}");
}

#[tokio::test]
async fn the_aws_sdk_for_javascript_sees_no_difference_by_http_2() {
    let (stub, direct) = stand_in().await;
    let (fixture, mut through) = worker(&json!({})).await;
    let port = through.url.rsplit(':').next().unwrap().parse().unwrap();
    let proxy = TlsProxy::start(port).await;
    through.url = format!("https://localhost:{}", proxy.port);
    through.certificates = Some(proxy.certificate.clone());
    let mut cases = REPLIES.to_vec();
    cases.extend(["retries", "errors", "stream_errors", "refused"]);
    let direct = Client::AwsSdkJs.outcomes(&direct, &cases).await;
    cases.push("protocol");
    let mut through = Client::AwsSdkJs.outcomes(&through, &cases).await;
    assert_eq!(through.as_object_mut().unwrap().remove("protocol"), Some(json!("h2")));
    assert_same("by HTTP/2", &through, &direct);
    assert_same_requests(Client::AwsSdkJs, &stub.requests(), &fixture.stub.requests());
}

async fn tls_outcomes(endpoint: &Endpoint) -> Value {
    let cases = ["invoke", "converse", "converse_stream"];
    let boto3 = Client::Boto3.outcomes(endpoint, &cases).await;
    let javascript = Client::AwsSdkJs.outcomes(endpoint, &cases).await;
    let wrong = Endpoint { token: "wrong".to_owned(), ..endpoint.clone() };
    let refused = Client::Boto3.outcomes(&wrong, &["bearer"]).await;
    json!({ "boto3": boto3, "javascript": javascript, "refused": refused["bearer"] })
}
