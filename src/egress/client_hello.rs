//! The server name in a TLS `ClientHello` (RFC 8446, section 4.1.2; RFC 6066,
//! section 3), read strictly from the first bytes of a connection. Whatever is
//! not exactly what a client may send first is an error, never a guess.

/// A whole `ClientHello` was seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ClientHello {
    /// The host it asks for, as sent.
    pub(super) server_name: Option<String>,
}

/// The bytes start like TLS and then are not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a TLS greeting that is not well formed")]
pub(super) struct NotAClientHello;

/// First byte of a TLS record that carries handshake messages.
pub(super) const HANDSHAKE_RECORD: u8 = 22;

const CLIENT_HELLO: u8 = 1;
const LONGEST_FRAGMENT: usize = 1 << 14;
const SERVER_NAME: u16 = 0;
const HOST_NAME: u8 = 0;

/// Reads what has arrived so far; `None` while more must come.
///
/// # Errors
/// No further byte can make it a `ClientHello`.
pub(super) fn read(bytes: &[u8]) -> Result<Option<ClientHello>, NotAClientHello> {
    let mut message = Vec::new();
    let mut input = Input(bytes);
    loop {
        let Some(fragment) = next_fragment(&mut input)? else {
            return Ok(None);
        };
        message.extend_from_slice(fragment);
        let mut handshake = Input(&message);
        let (Some(kind), Some(length)) = (handshake.u8(), handshake.u24()) else {
            // Four bytes of a message's head may be spread over records too.
            if message.first().is_some_and(|kind| *kind != CLIENT_HELLO) {
                return Err(NotAClientHello);
            }
            continue;
        };
        if kind != CLIENT_HELLO || length > LONGEST_FRAGMENT {
            return Err(NotAClientHello);
        }
        if handshake.0.len() < length {
            continue;
        }
        if handshake.0.len() > length {
            return Err(NotAClientHello);
        }
        let server_name = body(handshake).ok_or(NotAClientHello)?;
        return Ok(Some(ClientHello { server_name }));
    }
}

fn next_fragment<'a>(input: &mut Input<'a>) -> Result<Option<&'a [u8]>, NotAClientHello> {
    let Some(kind) = input.u8() else {
        return Ok(None);
    };
    let major = input.u8();
    if kind != HANDSHAKE_RECORD || major.is_some_and(|major| major != 3) {
        return Err(NotAClientHello);
    }
    let (Some(_minor), Some(length)) = (input.u8(), input.u16()) else {
        return Ok(None);
    };
    let length = usize::from(length);
    if length == 0 || length > LONGEST_FRAGMENT {
        return Err(NotAClientHello);
    }
    Ok(input.take(length))
}

// `None` is malformed, `Some(None)` is well formed without a server name.
#[allow(
    clippy::option_option,
    reason = "the outer one is the parser's failure, the inner one an absent extension"
)]
fn body(mut hello: Input<'_>) -> Option<Option<String>> {
    let _legacy_version = hello.u16()?;
    let _random = hello.take(32)?;
    let session_id = hello.vector8()?;
    let ciphers = hello.vector16()?;
    let compression = hello.vector8()?;
    if session_id.0.len() > 32
        || ciphers.0.is_empty()
        || !ciphers.0.len().is_multiple_of(2)
        || compression.0.is_empty()
    {
        return None;
    }
    let mut server_name = None;
    if hello.0.is_empty() {
        return Some(None);
    }
    let mut extensions = hello.vector16()?;
    if !hello.0.is_empty() {
        return None;
    }
    while !extensions.0.is_empty() {
        let kind = extensions.u16()?;
        let content = extensions.vector16()?;
        if kind == SERVER_NAME {
            if server_name.is_some() {
                return None;
            }
            server_name = Some(name(content)?);
        }
    }
    Some(server_name)
}

fn name(mut extension: Input<'_>) -> Option<String> {
    let mut list = extension.vector16()?;
    let kind = list.u8()?;
    let name = list.vector16()?;
    let alone = list.0.is_empty() && extension.0.is_empty();
    let ascii = name.0.iter().all(u8::is_ascii_graphic);
    if kind != HOST_NAME || !alone || name.0.is_empty() || !ascii {
        return None;
    }
    String::from_utf8(name.0.to_vec()).ok()
}

struct Input<'a>(&'a [u8]);

// === impl Input ===

impl<'a> Input<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn u8(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    fn u16(&mut self) -> Option<u16> {
        Some(u16::from_be_bytes(self.take(2)?.try_into().ok()?))
    }

    fn u24(&mut self) -> Option<usize> {
        self.take(3)?
            .iter()
            .try_fold(0_usize, |sum, byte| Some(sum << 8 | usize::from(*byte)))
    }

    fn vector8(&mut self) -> Option<Self> {
        let length = self.u8()?;
        self.take(usize::from(length)).map(Self)
    }

    fn vector16(&mut self) -> Option<Self> {
        let length = self.u16()?;
        self.take(usize::from(length)).map(Self)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A `ClientHello` in records of at most `fragment` bytes.
    pub(in crate::egress) fn client_hello(server_name: Option<&str>, fragment: usize) -> Vec<u8> {
        let mut extensions = vec![0, 43, 0, 3, 2, 3, 4];
        if let Some(name) = server_name {
            extensions.extend(extension(name.as_bytes()));
        }
        records(&hello_with(&extensions), fragment)
    }

    fn extension(name: &[u8]) -> Vec<u8> {
        let length = u16::try_from(name.len()).unwrap();
        let mut content = Vec::new();
        for value in [SERVER_NAME, length + 5, length + 3] {
            content.extend(value.to_be_bytes());
        }
        content.push(HOST_NAME);
        content.extend(length.to_be_bytes());
        content.extend(name);
        content
    }

    fn hello_with(extensions: &[u8]) -> Vec<u8> {
        let mut body = vec![3, 3];
        body.extend([7; 32]);
        body.extend([0, 0, 2, 0x13, 1, 1, 0]);
        body.extend(u16::try_from(extensions.len()).unwrap().to_be_bytes());
        body.extend(extensions);
        let mut message = vec![CLIENT_HELLO, 0];
        message.extend(u16::try_from(body.len()).unwrap().to_be_bytes());
        message.extend(body);
        message
    }

    fn records(message: &[u8], fragment: usize) -> Vec<u8> {
        let mut out = Vec::new();
        for part in message.chunks(fragment) {
            out.extend([HANDSHAKE_RECORD, 3, 1]);
            out.extend(u16::try_from(part.len()).unwrap().to_be_bytes());
            out.extend(part);
        }
        out
    }

    #[test]
    fn the_name_is_found_however_it_is_cut_up() {
        for fragment in [1, 3, 7, 50, 16_384] {
            let bytes = client_hello(Some("app.test"), fragment);
            for end in 0..bytes.len() {
                assert_eq!(read(&bytes[..end]), Ok(None), "{fragment} {end}");
            }
            let found = read(&bytes).unwrap().unwrap();
            assert_eq!(found.server_name.as_deref(), Some("app.test"));
        }
        let bytes = client_hello(None, 512);
        assert_eq!(read(&bytes).unwrap().unwrap().server_name, None);
    }

    #[test]
    fn bytes_after_the_hello_are_of_the_next_record() {
        let mut bytes = client_hello(Some("app.test"), 512);
        bytes.extend([20, 3, 3, 0, 1, 1]);
        assert!(read(&bytes).unwrap().is_some());
    }

    #[test]
    fn malformed_greetings_are_refused() {
        let good = hello_with(&extension(b"app.test"));
        let twice = [extension(b"app.test"), extension(b"evil.test")].concat();
        let mut two_names = extension(b"a.test");
        two_names.extend([HOST_NAME, 0, 1, b'b']);
        two_names[3] += 4;
        two_names[5] += 4;
        let mut other_kind = extension(b"a.test");
        other_kind[6] = 9;
        let mut short_list = extension(b"a.test");
        short_list[5] -= 1;
        let mut trailing = good.clone();
        trailing.extend([1, 0, 0, 0]);
        let mut lying_length = good.clone();
        lying_length[3] -= 1;
        for (what, bytes) in [
            ("another message", records(&[2, 0, 0, 1, 0], 64)),
            ("name twice", records(&hello_with(&twice), 512)),
            ("two names", records(&hello_with(&two_names), 512)),
            (
                "another kind of name",
                records(&hello_with(&other_kind), 512),
            ),
            ("short list", records(&hello_with(&short_list), 512)),
            ("empty name", records(&hello_with(&extension(b"")), 512)),
            (
                "blank in name",
                records(&hello_with(&extension(b"a b")), 512),
            ),
            (
                "zero in name",
                records(&hello_with(&extension(b"a\0")), 512),
            ),
            ("more after the message", records(&trailing, 512)),
            ("wrong length", records(&lying_length, 512)),
            ("empty record", vec![22, 3, 1, 0, 0]),
            ("too long a record", vec![22, 3, 1, 0x40, 1]),
            ("another version", vec![22, 2, 1, 0, 1]),
            ("another kind of record", vec![23, 3, 1, 0, 1]),
            ("too long a message", records(&[1, 1, 0, 0, 0], 64)),
        ] {
            assert_eq!(read(&bytes), Err(NotAClientHello), "{what}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_it_panic(noise: Vec<u8>, at in 0_usize..120, with: u8) {
            let _ = read(&noise);
            let mut bytes = client_hello(Some("app.test"), 40);
            if let Some(byte) = bytes.get_mut(at) {
                *byte = with;
            }
            let _ = read(&bytes);
        }
    }
}
