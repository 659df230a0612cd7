//! What a connection that may only look may say: nothing in it changes a page, a
//! request or what another client sees.

/// Commands of a watcher. What is not here is refused to it.
pub const LOOKING: [&str; 46] = [
    "Accessibility.disable",
    "Accessibility.enable",
    "Accessibility.getFullAXTree",
    "Accessibility.getPartialAXTree",
    "Browser.getVersion",
    "DOM.describeNode",
    "DOM.disable",
    "DOM.enable",
    "DOM.getAttributes",
    "DOM.getBoxModel",
    "DOM.getDocument",
    "DOM.getOuterHTML",
    "DOM.querySelector",
    "DOM.querySelectorAll",
    "Inspector.disable",
    "Inspector.enable",
    "Log.disable",
    "Log.enable",
    "Network.disable",
    "Network.enable",
    "Network.getRequestPostData",
    "Network.getResponseBody",
    "Page.captureScreenshot",
    "Page.disable",
    "Page.enable",
    "Page.getFrameTree",
    "Page.getLayoutMetrics",
    "Page.getNavigationHistory",
    "Page.screencastFrameAck",
    "Page.setLifecycleEventsEnabled",
    "Page.startScreencast",
    "Page.stopScreencast",
    "Performance.disable",
    "Performance.enable",
    "Performance.getMetrics",
    "Runtime.disable",
    "Runtime.enable",
    "Target.attachToBrowserTarget",
    "Target.attachToTarget",
    "Target.detachFromTarget",
    "Target.getBrowserContexts",
    "Target.getTargetInfo",
    "Target.getTargets",
    "Target.setAutoAttach",
    "Target.setDiscoverTargets",
    "Runtime.runIfWaitingForDebugger",
];

/// Whether a watcher may say that.
#[must_use]
pub fn is_looking(method: &str) -> bool {
    LOOKING.contains(&method)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cdp::table::{self, Verdict};

    #[test]
    fn every_command_of_a_watcher_has_a_row_and_is_refused_to_nobody() {
        for method in LOOKING {
            let row = table::method(method).unwrap_or_else(|| panic!("{method}"));
            assert_ne!(row.verdict, Verdict::Refuse, "{method}");
        }
    }

    #[test]
    fn what_acts_is_no_looking() {
        for method in [
            "Runtime.evaluate",
            "Runtime.callFunctionOn",
            "Input.dispatchMouseEvent",
            "Page.navigate",
            "Page.close",
            "Fetch.enable",
            "Debugger.pause",
            "Target.createTarget",
            "Target.closeTarget",
            "Storage.setCookies",
            "Storage.getCookies",
            "Network.setExtraHTTPHeaders",
            "Emulation.setDeviceMetricsOverride",
            "Hallpass.explain",
        ] {
            assert!(!is_looking(method), "{method}");
        }
    }
}
