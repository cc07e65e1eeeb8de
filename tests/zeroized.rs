//! No memory that is given back while a configuration is read and dropped holds a credential: an allocator looks at each
//! block that is freed.

#![allow(unsafe_code)] // an allocator

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use tollgate::app::cli::Options;
use tollgate::app::files;
use tollgate::config::Secret;

/// What is looked for: no text has it but by way of the variable of the environment.
const MARK: &[u8] = b"sk-a-credential-that-stands-nowhere-else";

struct Looking;

static LOOKS: AtomicBool = AtomicBool::new(false);
static FOUND: AtomicUsize = AtomicUsize::new(0);

#[global_allocator]
static ALLOCATOR: Looking = Looking;

// SAFETY: all is passed on to the system's allocator as it came; a block is read before it is given back, while it is
// still whole and ours. It was zeroed when it was handed out, so that all of it has a value.
unsafe impl GlobalAlloc for Looking {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        if LOOKS.load(Ordering::Relaxed) {
            // SAFETY: the block is the caller's to give back, of this size, and was filled when it was handed out.
            let bytes = unsafe { std::slice::from_raw_parts(block, layout.size()) };
            let found = bytes.windows(MARK.len()).filter(|window| *window == MARK).count();
            FOUND.fetch_add(found, Ordering::Relaxed);
        }
        // SAFETY: the caller's promise is passed on.
        unsafe { System.dealloc(block, layout) }
    }
}

/// How many copies `run` leaves behind.
fn left_by(run: impl FnOnce()) -> usize {
    FOUND.store(0, Ordering::Relaxed);
    LOOKS.store(true, Ordering::Relaxed);
    run();
    LOOKS.store(false, Ordering::Relaxed);
    FOUND.load(Ordering::Relaxed)
}

/// One test, for there is one allocator.
#[test]
fn a_credential_leaves_nothing_behind() {
    let text = String::from_utf8_lossy(MARK);
    assert_eq!(left_by(|| drop(MARK.to_vec())), 1, "what is not overwritten is found");
    assert_eq!(left_by(|| drop(Secret::new(MARK))), 0);
    assert_eq!(left_by(|| drop(Secret::new(text.to_string()))), 0, "no copy was made of it");

    // By a Secret, by a value that is filled in between others, and by a value in base64.
    let manifests = concat!(
        include_str!("../config/walkthrough/1-secret.yaml"),
        "\n---\n",
        include_str!("../config/walkthrough/2-gateway.yaml"),
        "\n---\n",
        include_str!("../config/walkthrough/3-backend.yaml"),
        "\n---\n",
        include_str!("../config/walkthrough/4-httproute.yaml"),
        "\n---\napiVersion: v1\nkind: Secret\nmetadata: {name: other, namespace: x}\n",
        "stringData: {a: \"some text before $ANTHROPIC_API_KEY$ANTHROPIC_API_KEY, and some more behind\"}\n",
        "---\napiVersion: tollgate.dev/v1alpha1\nkind: Settings\nmetadata: {name: x}\n",
        "spec: {admin: {address: \"127.0.0.1:0\", token: $ANTHROPIC_API_KEY}}\n",
    );
    let env = |_: &str| Some(text.to_string());
    let mut exposed = 0;
    let left = left_by(|| {
        let texts = [("manifests.yaml", manifests)];
        let snapshot = files::compile(&texts, &Options::default(), &env).expect("no fault");
        let token = snapshot.settings.admin.token.as_ref().expect("a token");
        exposed = token.expose().windows(MARK.len()).filter(|window| *window == MARK).count();
    });
    assert_eq!((exposed, left), (1, 0), "it is read and used, and then nowhere");
}
