//! The policy must have been bundled before: `npm run build:native` does that and calls cargo.

fn main() {
    println!("cargo::rerun-if-changed=policy.js");
    if !std::path::Path::new("policy.js").exists() {
        println!("cargo::error=native/policy.js is missing; `npm run build:native` makes it and builds the library");
    }
}
