use std::sync::LazyLock;

use proptest::prelude::*;
use uuid::Uuid;

use super::*;
use crate::model::id::TraceId;

fn wrapping() -> (tempfile::TempDir, WrappingKey) {
    let folder = tempfile::tempdir().unwrap();
    let key = WrappingKey::create(&folder.path().join("vault.key")).unwrap();
    (folder, key)
}

fn vault() -> Vault {
    Vault::create(&wrapping().1).unwrap().0
}

const CONTEXT: SealContext<'static> = SealContext {
    kind: "credential",
    id: "crd_1",
    version: 3,
};

#[test]
fn a_vault_opens_with_its_key_and_with_no_other() {
    let (_folder, key) = wrapping();
    let (_other_folder, other) = wrapping();
    let (vault, wrapped) = Vault::create(&key).unwrap();
    let sealed = vault.seal(&CONTEXT, b"value").unwrap();
    let text = serde_json::to_string(&wrapped).unwrap();
    let wrapped: WrappedKey = serde_json::from_str(&text).unwrap();

    let again = Vault::open(&key, &wrapped).unwrap();
    assert_eq!(
        again.unseal(&CONTEXT, &sealed).unwrap().as_slice(),
        b"value"
    );

    let error = Vault::open(&other, &wrapped).unwrap_err();
    let VaultError::WrongKey { expected, found } = &error else {
        panic!("{error:?}");
    };
    assert_eq!((*expected, *found), (key.id(), other.id()));
    for part in [
        &key.id().to_string(),
        &other.id().to_string(),
        "restore the right key file",
        "nothing was changed",
    ] {
        assert!(error.to_string().contains(part), "{error}");
    }
}

#[test]
fn an_altered_wrapped_key_is_told_from_a_wrong_key_file() {
    let (_folder, key) = wrapping();
    let (_other_folder, other) = wrapping();
    let (_, wrapped) = Vault::create(&key).unwrap();
    let mut altered = Vec::new();
    for index in 0..wrapped.ciphertext.len() {
        let mut one = wrapped.clone();
        one.ciphertext[index] ^= 1;
        altered.push(one);
    }
    altered.push(WrappedKey {
        nonce: vec![0; 11],
        ..wrapped.clone()
    });
    altered.push(WrappedKey {
        ciphertext: Vec::new(),
        ..wrapped.clone()
    });
    for one in altered {
        assert!(matches!(
            Vault::open(&key, &one),
            Err(VaultError::WrappedKeyAltered { .. })
        ));
    }
    // Naming the other key does not make its bytes open.
    let renamed = WrappedKey {
        key_id: other.id(),
        ..wrapped
    };
    assert!(matches!(
        Vault::open(&other, &renamed),
        Err(VaultError::WrappedKeyAltered { .. })
    ));
}

#[test]
fn a_sealed_value_opens_for_its_own_record_alone() {
    let vault = vault();
    let sealed = vault.seal(&CONTEXT, b"value").unwrap();
    for context in [
        SealContext {
            kind: "header",
            ..CONTEXT
        },
        SealContext {
            id: "crd_2",
            ..CONTEXT
        },
        SealContext {
            version: 2,
            ..CONTEXT
        },
        // The same letters, cut elsewhere.
        SealContext {
            kind: "credentialc",
            id: "rd_1",
            version: 3,
        },
    ] {
        assert!(matches!(
            vault.unseal(&context, &sealed),
            Err(VaultError::Unseal { .. })
        ));
    }
    assert!(self::vault().unseal(&CONTEXT, &sealed).is_err());
}

#[test]
fn an_altered_or_cut_sealed_value_does_not_open() {
    let vault = vault();
    let bytes = vault.seal(&CONTEXT, b"value").unwrap().to_bytes();
    for index in 0..bytes.len() {
        let mut altered = bytes.clone();
        altered[index] ^= 1;
        let opened = Sealed::from_bytes(&altered).and_then(|s| vault.unseal(&CONTEXT, &s));
        assert!(opened.is_err(), "byte {index}");
        let opened = Sealed::from_bytes(&bytes[..index]).and_then(|s| vault.unseal(&CONTEXT, &s));
        assert!(opened.is_err(), "{index} bytes");
    }
    let mut longer = bytes;
    longer.push(0);
    let opened = Sealed::from_bytes(&longer).and_then(|s| vault.unseal(&CONTEXT, &s));
    assert!(opened.is_err());
}

#[test]
fn sealing_twice_gives_different_bytes() {
    let vault = vault();
    let one = vault.seal(&CONTEXT, b"value").unwrap();
    let other = vault.seal(&CONTEXT, b"value").unwrap();
    assert_ne!(one.nonce, other.nonce);
    assert_ne!(one.ciphertext, other.ciphertext);
}

#[test]
fn a_trace_key_opens_for_its_own_trace_alone() {
    let vault = vault();
    let trace = TraceId::from_uuid(Uuid::from_u128(1));
    let other = TraceId::from_uuid(Uuid::from_u128(2));
    let (key, wrapped) = vault.trace_key(trace).unwrap();
    let stored = WrappedTraceKey::from_bytes(wrapped.as_bytes()).unwrap();
    let again = vault.open_trace_key(trace, &stored).unwrap();
    assert_eq!(key.expose(), again.expose());
    assert!(vault.open_trace_key(other, &stored).is_err());
    assert!(self::vault().open_trace_key(trace, &stored).is_err());
    let (second, _) = vault.trace_key(trace).unwrap();
    assert_ne!(key.expose(), second.expose());
    for index in 0..WrappedTraceKey::LENGTH {
        let mut altered = *wrapped.as_bytes();
        altered[index] ^= 1;
        let opened = WrappedTraceKey::from_bytes(&altered)
            .and_then(|wrapped| vault.open_trace_key(trace, &wrapped));
        assert!(opened.is_err(), "byte {index}");
    }
    assert!(WrappedTraceKey::from_bytes(&wrapped.as_bytes()[1..]).is_err());
}

#[test]
fn debug_shows_no_key() {
    let vault = vault();
    let (key, _) = vault
        .trace_key(TraceId::from_uuid(Uuid::from_u128(1)))
        .unwrap();
    assert_eq!(
        format!("{vault:?} {key:?}"),
        "Vault([secret]) TraceKey([secret])"
    );
}

proptest! {
    #[test]
    fn whatever_is_sealed_comes_back(
        plain in proptest::collection::vec(any::<u8>(), 0..600),
        kind in ".{0,12}", id in ".{0,40}", version in any::<u64>(),
    ) {
        static VAULT: LazyLock<Vault> = LazyLock::new(vault);
        let context = SealContext { kind: &kind, id: &id, version };
        let sealed = VAULT.seal(&context, &plain).unwrap();
        let stored = Sealed::from_bytes(&sealed.to_bytes()).unwrap();
        prop_assert_eq!(&stored, &sealed);
        let opened = VAULT.unseal(&context, &stored).unwrap();
        prop_assert_eq!(opened.as_slice(), plain.as_slice());
    }

    #[test]
    fn different_records_never_have_the_same_associated_data(
        one in (".{0,6}", ".{0,6}", 0_u64..3), other in (".{0,6}", ".{0,6}", 0_u64..3),
    ) {
        let data = |(kind, id, version): &(String, String, u64)| {
            SealContext { kind, id, version: *version }.associated_data(SEALED_V1)
        };
        prop_assert_eq!(one == other, data(&one) == data(&other));
    }

    #[test]
    fn reading_sealed_bytes_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
        if let Ok(sealed) = Sealed::from_bytes(&bytes) {
            prop_assert_eq!(sealed.to_bytes(), bytes);
        }
    }
}
