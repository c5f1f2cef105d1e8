#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| rgunicorn::fuzz::proxy(data));
