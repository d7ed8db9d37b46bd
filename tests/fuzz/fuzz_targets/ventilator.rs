#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    std::hint::black_box(tests::fuzz::roles::ventilator(data));
});
