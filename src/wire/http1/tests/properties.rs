//! What holds for every request head, good or bad.

use proptest::prelude::*;

use super::requests::outcome;
use super::*;

/// Pieces from which good and bad heads come out about equally often.
fn piece() -> impl Strategy<Value = Vec<u8>> {
    let pieces: Vec<&[u8]> = vec![
        b"GET / HTTP/1.1\r\n",
        b"POST http://b/p?q HTTP/1.1\r\n",
        b"Host: a\r\n",
        b"Content-Length: 5\r\n",
        b"Transfer-Encoding: chunked\r\n",
        b"X: y\r\n",
        b"Connection: close\r\n",
        b"\r\n",
        b"\r\n\r\n",
        b"\n",
        b"\r",
        b" ",
        b":",
        b"\0",
        b"a",
        b"HTTP/1.1",
    ];
    prop_oneof![
        9 => proptest::sample::select(pieces).prop_map(<[u8]>::to_vec),
        1 => proptest::collection::vec(any::<u8>(), 1..3),
    ]
}

proptest! {
    #[test]
    fn any_bytes_come_out_the_same_however_they_are_cut(
        pieces in proptest::collection::vec(piece(), 0..12), cuts: [proptest::sample::Index; 3],
    ) {
        let bytes = pieces.concat();
        let limits = HeadLimits { head_bytes: 100, headers: 4, target_bytes: 20 };
        let expect = outcome(request(&bytes, &limits), &bytes);
        let mut cuts = cuts.map(|cut| cut.index(bytes.len() + 1));
        cuts.sort_unstable();
        let mut scan = HeadScan::default();
        let mut arrivals = cuts.into_iter().chain([bytes.len()]);
        let got = arrivals.find_map(|end| outcome(scan.request(&bytes[..end], &limits), &bytes));
        prop_assert_eq!(got, expect);
    }

    /// Whatever is accepted has no byte that could end a line or a message elsewhere.
    #[test]
    fn what_is_accepted_is_clean(pieces in proptest::collection::vec(piece(), 0..8), flip: (u16, u8)) {
        let mut bytes = [&b"GET /p HTTP/1.1\r\nHost: a\r\n"[..], &pieces.concat(), b"\r\n\r\n"].concat();
        let at = usize::from(flip.0) % (2 * bytes.len()); // half of the time nothing is flipped
        if let Some(byte) = bytes.get_mut(at) {
            *byte = flip.1;
        }
        if let Ok(Some(head)) = request(&bytes, &HeadLimits::default()) {
            let lines = bytes[..head.len].split(|b| *b == b'\n').count() - 1;
            let carriage_returns = bytes[..head.len].iter().filter(|b| **b == b'\r').count();
            prop_assert_eq!(lines, carriage_returns);
            prop_assert!(lines == head.headers.len() + 2 || bytes.starts_with(b"\r"));
            prop_assert!(bytes[..head.len].ends_with(b"\r\n\r\n") && !bytes[..head.len].contains(&0));
            for header in head.headers.iter() {
                let name = header.name.of(&bytes);
                prop_assert!(!name.is_empty() && name.iter().all(|b| crate::base::ascii::is_token(*b)));
                prop_assert!(header.value.of(&bytes).iter().all(|b| crate::base::ascii::is_value(*b)));
            }
            prop_assert!(!(head.headers.contains(Known::ContentLength)
                && head.headers.contains(Known::TransferEncoding)));
            prop_assert!(head.headers.all(Known::ContentLength).count() <= 1);
            prop_assert!(head.headers.all(Known::TransferEncoding).count() <= 1);
            prop_assert!(head.target.of(&bytes).iter().all(|b| crate::wire::url::is_target(*b)));
        }
    }
}
