// Every notice that has not been dismissed, newest first.
import type { ReactElement } from "react";
import { dismissAllNotices, dismissNotice } from "../../commands.js";
import { ActionButton } from "../../components/action-button.js";
import { DialogFrame } from "../../components/dialog-frame.js";
import { FailureText } from "../../components/failure-text.js";
import { Icon } from "../../components/icon.js";
import { useClock } from "../../stores/clock.js";
import { closeDialog } from "../../stores/dialogs.js";
import { useNotices, type PanelNotice } from "../../stores/notices.js";
import { dayAndTime } from "../../words/moments.js";

export function NoticeCentre(): ReactElement {
  const notices = useNotices((state) => state.all);
  return (
    <DialogFrame
      title="Notices"
      width="wide"
      onClose={closeDialog}
      actions={
        <ActionButton
          label="Dismiss all"
          isDisabled={notices.length === 0}
          onPress={() => void dismissAllNotices()}
        />
      }
    >
      {notices.length === 0 ? (
        <p className="quiet">Nothing to tell.</p>
      ) : (
        <ul className="notice-list">
          {notices.map((notice) => (
            <NoticeItem key={notice.key} notice={notice} />
          ))}
        </ul>
      )}
    </DialogFrame>
  );
}

function NoticeItem({ notice }: { readonly notice: PanelNotice }): ReactElement {
  const when = useClock((now) => dayAndTime(notice.at, now));
  return (
    <li className={`notice notice-${notice.severity}`}>
      <Icon name={notice.severity === "info" ? "info" : "warning"} />
      <div>
        <p className="notice-title">
          <strong>{notice.title}</strong> <span className="quiet figures">{when}</span>
        </p>
        <FailureText {...notice} />
      </div>
      <ActionButton
        label={`Dismiss: ${notice.title}`}
        icon="close"
        iconOnly
        tone="bare"
        onPress={() => void dismissNotice(notice.key)}
      />
    </li>
  );
}
