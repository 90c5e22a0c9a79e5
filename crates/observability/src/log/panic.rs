use std::panic::PanicHookInfo;

/// Sends panics to the log instead of raw text to standard error: a panic message may hold anything, and a line that is
/// not JSON breaks whoever reads the log.
pub(super) fn log_panics() {
    std::panic::set_hook(Box::new(log_panic));
}

fn log_panic(panic: &PanicHookInfo<'_>) {
    let payload = panic.payload();
    let text = payload
        .downcast_ref::<&'static str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("a value that is no text");
    match panic.location() {
        Some(at) => tracing::error!(location = %at, "panicked: {text}"),
        None => tracing::error!("panicked: {text}"),
    }
}
