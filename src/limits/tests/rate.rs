//! The limit of requests.

use super::*;

#[tokio::test]
async fn a_request_is_counted_by_its_address_before_the_body_is_read() {
    type Headers<'a> = &'a [(&'a str, &'a str)];
    let address = |it| [("cf-connecting-ip", it)];
    let cases: [(&str, &str, &str, Headers, Option<&str>); 10] = [
        ("a request", "POST", "/", &address("192.0.2.1"), Some("192.0.2.1")),
        ("IPv6", "POST", "/", &address("2001:db8:1:2:3:4:5:6"), Some("2001:db8:1:2::/64")),
        (
            "another IPv6 address of the network",
            "POST",
            "/",
            &address("2001:db8:1:2:ffff::1"),
            Some("2001:db8:1:2::/64"),
        ),
        ("no address", "POST", "/", &[], Some("unknown")),
        ("another header", "POST", "/", &[("x-forwarded-for", "192.0.2.1")], Some("unknown")),
        ("the numbers", "GET", "/usage", &address("192.0.2.1"), Some("192.0.2.1")),
        ("health", "GET", "/healthz", &address("192.0.2.1"), None),
        ("OPTIONS", "OPTIONS", "/", &address("192.0.2.1"), None),
        ("an unknown path", "POST", "/nowhere", &address("192.0.2.1"), None),
        ("another method", "PUT", "/", &address("192.0.2.1"), None),
    ];
    for (name, method, path, headers, key) in cases {
        let mut host = Scripted::new().with_limits();
        host.allowed = Some(0);
        let isolate = isolate(&[("RATE_LIMITER", "[object Object]")]);
        let body = Watched::from(BODY);
        let was_read = body.was_read.clone();
        let request = request_in_the_worker(method, path, headers, body);
        let (envelope, record) = lambda_handler(request, &isolate, &host).await;
        assert_eq!(
            host.counted.borrow().iter().map(String::as_str).collect::<Vec<_>>(),
            Vec::from_iter(key),
            "{name}"
        );
        assert_eq!(record.outcome == "rate_limited", key.is_some(), "{name}");
        if key.is_some() {
            assert_eq!(envelope.status_code, 429, "{name}");
            assert!(envelope.headers.contains(&("retry-after", "60".to_owned())), "{name}");
        }
        assert!(!was_read.get(), "{name}");
    }
}

#[tokio::test]
async fn the_openings_of_websockets_are_counted_apart_from_their_messages() {
    let mut host = Scripted::new().with_limits();
    host.allowed = Some(1);
    let isolate = isolate(&[("RATE_LIMITER", "on"), ("RATE_LIMIT_PERIOD", "10")]);
    let headers = [("upgrade", "websocket"), ("cf-connecting-ip", "192.0.2.1")];
    let open = || handle(request("GET", "/ws", &headers, ""), &isolate, &host);
    let Handled::WebSocket(socket, record) = open().await else { panic!("not a WebSocket") };
    assert_eq!((record.outcome, record.status, record.level), ("ok", 101, Level::Info));
    // A message counts as a request of the address that opened it.
    let (_, record) = socket_handler(BODY.into(), &socket, &host).await.unwrap_err();
    assert_eq!((record.outcome, record.status), ("rate_limited", 429));
    let Handled::Whole(envelope, record) = open().await else { panic!("it is refused") };
    assert_eq!((record.outcome, envelope.status_code), ("rate_limited", 429));
    let keys = ["socket:192.0.2.1", "192.0.2.1", "socket:192.0.2.1"];
    assert_eq!(*host.counted.borrow(), keys);
    assert_eq!(socket.config().limits.requests, Some(Duration::from_secs(10)));
}

#[tokio::test]
async fn an_invocation_and_its_event_are_counted_as_one_request() {
    let isolate = isolate(&[("RATE_LIMITER", "on")]);
    let mut host = Scripted::new().then(200, &[], REPLY).with_limits();
    host.allowed = Some(1);
    let path = "/2015-03-31/functions/f/invocations";
    for (number, status, error) in [(1, 200, None), (2, 429, Some("TooManyRequestsException"))] {
        let request = request("POST", path, &[], BODY);
        let Handled::Whole(envelope, _) = handle(request, &isolate, &host).await else {
            panic!("it is synchronous");
        };
        assert_eq!(envelope.status_code, status, "{number}: {envelope:?}");
        let mut names = envelope.headers.iter().filter(|(name, _)| *name == "x-amzn-errortype");
        assert_eq!(names.next().map(|(_, value)| value.as_str()), error, "{number}");
        assert_eq!(host.counted.borrow().len(), number);
    }
}
