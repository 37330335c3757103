// What has just gone wrong, at the edge of the window until it is read. Errors never go by themselves.
import { useEffect, type ReactElement } from "react";
import { dismissNotice } from "../../commands.js";
import { ActionButton } from "../../components/action-button.js";
import { FailureText } from "../../components/failure-text.js";
import { Icon } from "../../components/icon.js";
import { hideToast, useNotices, type PanelNotice } from "../../stores/notices.js";

/** Long enough to read two sentences twice. */
const READING_MS = 12_000;

export function Toasts(): ReactElement {
  const all = useNotices((state) => state.all);
  const keys = useNotices((state) => state.toastKeys);
  const shown = keys
    .map((key) => all.find((notice) => notice.key === key))
    .filter((notice) => notice !== undefined);
  return (
    <section
      className="toasts"
      aria-label="New notices"
      aria-live="assertive"
      aria-relevant="additions"
    >
      {shown.map((notice) => (
        <Toast key={notice.key} notice={notice} />
      ))}
    </section>
  );
}

function Toast({ notice }: { readonly notice: PanelNotice }): ReactElement {
  const stays = notice.severity === "error";
  useEffect(() => {
    if (stays) return;
    const timer = setTimeout(() => hideToast(notice.key), READING_MS);
    return () => clearTimeout(timer);
  }, [stays, notice.key]);
  return (
    <div className={`toast notice notice-${notice.severity}`}>
      <Icon name={notice.severity === "info" ? "info" : "warning"} />
      <div>
        <p className="notice-title">
          <strong>{notice.title}</strong>
        </p>
        <FailureText {...notice} />
        <div className="toast-actions">
          <ActionButton label="Keep for later" onPress={() => hideToast(notice.key)} />
          <ActionButton label="Dismiss" onPress={() => void dismissNotice(notice.key)} />
        </div>
      </div>
    </div>
  );
}
