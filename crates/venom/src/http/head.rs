//! Heads of requests that two programs could read in two ways are refused: a proxy in front must not
//! see another request than we do.

use crate::addresses::split_authority;
use axum::http::request::Parts;
use axum::http::{HeaderName, Version, header};

/// Headers that decide what happens to a request. Of two, one program takes the first, another the last.
const ONCE: [HeaderName; 6] = [
    header::HOST,
    header::AUTHORIZATION,
    header::CONTENT_TYPE,
    header::ORIGIN,
    header::CONTENT_LENGTH,
    header::TRANSFER_ENCODING,
];
/// What stands in no path of ours and is read as a separator or a way up by some.
const TRICKS: [&str; 6] = ["//", "\\", "%2e", "%2f", "%5c", "%00"];

/// What is wrong with the head of a request, in one sentence.
pub(super) fn problem(parts: &Parts) -> Option<String> {
    if !is_plain_path(parts.uri.path()) {
        return Some(
            "the path is ambiguous: expected one without //, .., \\ and encoded separators".into(),
        );
    }
    let twice = |name: &&HeaderName| parts.headers.get_all(*name).iter().nth(1).is_some();
    if let Some(name) = ONCE.iter().find(twice) {
        return Some(format!("the header {name} came twice: expected it once"));
    }
    if let Some(encoding) = parts.headers.get(header::TRANSFER_ENCODING)
        && !encoding.as_bytes().eq_ignore_ascii_case(b"chunked")
    {
        return Some("the body is encoded: expected Transfer-Encoding chunked, or none".into());
    }
    let host = match parts.headers.get(header::HOST) {
        Some(host) => host.to_str().unwrap_or_default(),
        None if parts.version == Version::HTTP_10 => return None,
        None => return Some("the Host header is missing: expected the name of this server".into()),
    };
    if split_authority(host).is_none() {
        return Some(
            "the Host header is malformed: expected a name or an address, and perhaps a port"
                .into(),
        );
    }
    match parts.uri.authority() {
        Some(target) if !target.as_str().eq_ignore_ascii_case(host) => {
            Some("the request names another host than its Host header: expected the same".into())
        }
        _ => None,
    }
}

fn is_plain_path(path: &str) -> bool {
    let lower = path.to_ascii_lowercase();
    let rooted = path.starts_with('/') || path == "*";
    let climbs = lower
        .split('/')
        .any(|segment| segment == "." || segment == "..");
    rooted && !climbs && !TRICKS.iter().any(|trick| lower.contains(trick))
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::Request;
    use venom_fuzz::Target;

    #[track_caller]
    fn check_head(target: &str, headers: &[(&str, &str)], expected: Option<&str>) {
        let mut request = Request::builder().uri(target);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let found = problem(&request.body(()).unwrap().into_parts().0);
        match (&found, expected) {
            (None, None) => {}
            (Some(found), Some(words)) if found.contains(words) => {}
            _ => panic!("{target} {headers:?}: {found:?}"),
        }
    }

    #[test]
    fn ordinary_heads_pass() {
        let host = ("host", "localhost:8000");
        for target in [
            "/",
            "/mcp",
            "/messages/?session_id=a%2fb//..",
            "/a.b/..c",
            "*",
            "/%20",
        ] {
            check_head(target, &[host], None);
        }
        check_head("http://LOCALHOST:8000/mcp", &[host], None);
        check_head("/mcp", &[host, ("transfer-encoding", "Chunked")], None);
        check_head(
            "/mcp",
            &[("host", "[::1]:8000"), ("accept", "a"), ("accept", "b")],
            None,
        );
    }

    #[test]
    fn ambiguous_paths_do_not() {
        for target in [
            "//mcp",
            "/mcp//",
            "/a/../mcp",
            "/..",
            "/./mcp",
            "/%2e%2e/mcp",
            "/%2E/mcp",
            "/a%2fb",
            "/a%5Cb",
            "/a\\b",
            "/mcp%00",
            "http://localhost//x",
        ] {
            check_head(
                target,
                &[("host", "localhost")],
                Some("the path is ambiguous"),
            );
        }
    }

    #[test]
    fn headers_that_decide_come_once() {
        for name in [
            "host",
            "authorization",
            "content-type",
            "origin",
            "content-length",
            "transfer-encoding",
        ] {
            let headers = [("host", "localhost"), (name, "1"), (name, "1")];
            let headers = if name == "host" {
                &headers[1..]
            } else {
                &headers[..]
            };
            check_head("/", headers, Some(&format!("the header {name} came twice")));
        }
    }

    #[test]
    fn hosts_are_names_and_agree() {
        let malformed = Some("Host header is malformed");
        for host in [
            "",
            "a b",
            "localhost:80@evil.example",
            "[::1].evil.example",
            "a,b",
            "a/b",
        ] {
            check_head("/", &[("host", host)], malformed);
        }
        check_head("/", &[], Some("Host header is missing"));
        let other = Some("another host");
        check_head("http://evil.example/", &[("host", "localhost")], other);
        check_head("http://localhost:1/", &[("host", "localhost")], other);
        check_head("http://me@localhost/", &[("host", "localhost")], other);
        let encoded = [
            ("host", "localhost"),
            ("transfer-encoding", "gzip, chunked"),
        ];
        check_head("/", &encoded, Some("the body is encoded"));
    }

    /// The target, then a header a line.
    #[test]
    fn fuzz_request_heads() {
        let words = [
            "host: ",
            "localhost",
            "[::1]",
            ":8000",
            "@",
            "transfer-encoding: chunked",
            "content-length: ",
            "http://",
            "/",
            "//",
            "..",
            "%2e",
            "%2F",
            "%00",
            "\\",
            "?",
            "#",
            "\n",
            "*",
            "authorization: ",
        ];
        Target::new("request-heads").words(&words).run(|bytes| {
            let mut lines = bytes.split(|byte| *byte == b'\n');
            let mut request = Request::builder().uri(lines.next().unwrap_or_default());
            for line in lines {
                let colon = line.iter().position(|byte| *byte == b':').unwrap_or(0);
                let (name, value) = line.split_at(colon);
                request = request.header(name, value.get(1..).unwrap_or_default().trim_ascii());
            }
            let parts = request.body(()).ok()?.into_parts().0;
            let found = problem(&parts);
            if found.is_none() {
                let path = parts.uri.path();
                let bytes: Vec<u8> =
                    form_urlencoded::parse(path.replace(['+', '&', '='], "_").as_bytes())
                        .flat_map(|(name, _)| name.into_owned().into_bytes())
                        .collect();
                let read = String::from_utf8_lossy(&bytes);
                let climbs = read.split('/').any(|part| matches!(part, "." | ".."));
                assert!(
                    !climbs && !read.contains(['\\', '\0']) && !read.contains("//"),
                    "{path}"
                );
                for name in &ONCE {
                    assert!(parts.headers.get_all(name).iter().count() <= 1, "{name}");
                }
                let host = parts.headers[header::HOST].to_str().unwrap();
                let named = parts
                    .uri
                    .authority()
                    .map(axum::http::uri::Authority::as_str);
                assert!(named.is_none_or(|named| named.eq_ignore_ascii_case(host)));
                assert!(!host.contains(['@', '/', ' ', ',']), "{host}");
            }
            Some(found)
        });
    }
}
