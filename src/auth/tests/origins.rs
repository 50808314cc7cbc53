//! The origins of pages that may call.

use super::*;
use crate::auth::cors::is_foreign;

#[test]
fn a_page_is_the_workers_own_over_tls_or_on_this_machine() {
    // The origin, the host, whether it is foreign.
    let cases = [
        ("https://edge.example", "edge.example", false),
        ("https://EDGE.example", "edge.EXAMPLE", false),
        ("https://edge.example:8443", "edge.example:8443", false),
        ("https://192.0.2.1", "192.0.2.1", false),
        ("http://localhost:8787", "localhost:8787", false),
        ("http://LOCALHOST", "localhost", false),
        ("http://app.localhost:8787", "app.localhost:8787", false),
        ("http://127.0.0.1:8787", "127.0.0.1:8787", false),
        ("http://127.1.2.3", "127.1.2.3", false),
        ("http://[::1]:8787", "[::1]:8787", false),
        // DNS rebinding: the name of the page's own site leads to this machine.
        ("http://attacker.example", "attacker.example", true),
        ("http://attacker.example:8787", "attacker.example:8787", true),
        ("http://localhost.attacker.example:8787", "localhost.attacker.example:8787", true),
        ("http://127.0.0.1.attacker.example", "127.0.0.1.attacker.example", true),
        ("http://xlocalhost", "xlocalhost", true),
        ("http://0.0.0.0:8787", "0.0.0.0:8787", true),
        ("http://192.168.0.7:8787", "192.168.0.7:8787", true),
        ("http://a@localhost", "a@attacker.example", true),
        ("ftp://localhost", "localhost", true),
        ("localhost", "localhost", true),
        // Another site, and another port.
        ("https://evil.example", "edge.example", true),
        ("http://localhost:3000", "localhost:8787", true),
        ("http://localhost", "", true),
        ("null", "edge.example", true),
        ("", "", true),
    ];
    for (origin, host, expected) in cases {
        let request = request("POST", "/", &[("origin", origin), ("host", host)], ());
        assert_eq!(is_foreign(&request.headers, &[]), expected, "{origin} {host}");
        // A listed origin may be any.
        assert!(!is_foreign(&request.headers, &[origin.to_owned()]), "{origin} {host}");
    }
    let without = request("POST", "/", &[("host", "attacker.example")], ());
    assert!(!is_foreign(&without.headers, &[]));
    let twice = request("POST", "/", &[("origin", "null"), ("origin", "null")], ());
    assert!(is_foreign(&twice.headers, &["null".to_owned()]));
}
