// The window: applications at the left, the chosen one at the right.
import { useSyncExternalStore, type ReactElement } from "react";
import type { ApplicationRecord } from "../electron/contract/application.js";
import { saveLayout } from "./commands.js";
import { ActionButton } from "./components/action-button.js";
import { EmptyState } from "./components/empty-state.js";
import { SplitPane } from "./components/split-pane.js";
import { ApplicationHeader } from "./features/applications/application-header.js";
import { ApplicationList } from "./features/applications/application-list.js";
import { ConfigurationProblem } from "./features/applications/configuration-problem.js";
import { NotRunning } from "./features/applications/not-running.js";
import {
  AgentUnreachable,
  ConnectionLostBar,
  ConnectionWord,
} from "./features/connection/connection-views.js";
import { DisplayPane } from "./features/display/display-pane.js";
import { ImageDetails } from "./features/image-details/image-details.js";
import { Toasts } from "./features/notices/toasts.js";
import { OperationLine } from "./features/operations/operation-line.js";
import { ThemeButton } from "./features/preferences/theme-button.js";
import { TerminalPane } from "./features/terminal/terminal-pane.js";
import { Timeline } from "./features/timeline/timeline.js";
import { OpenDialogs } from "./open-dialogs.js";
import { useApplications, useSelectedApplication } from "./stores/applications.js";
import { useConnection } from "./stores/connection.js";
import { openDialog } from "./stores/dialogs.js";
import { useNotices } from "./stores/notices.js";
import { usePreferences } from "./stores/preferences.js";
import { countOf } from "./words/quantities.js";

/**
 * From here on the terminal stands beside the timeline, not below it: both then have room for all that they
 * show. At 1920 pixels they had not, and the timeline left out sizes and pauses.
 */
const WIDE = "(min-width: 2200px)";
/** Up to here (small windows, text zoomed to twice its size) the panes lie below each other, and scroll. */
const COMPACT = "(max-width: 1099px), (max-height: 579px)";

export function Panel(): ReactElement {
  const loaded = useApplications((state) => state.loaded);
  return (
    <>
      {loaded ? <Workplace /> : <AgentUnreachable />}
      <OpenDialogs />
      <Toasts />
    </>
  );
}

function Workplace(): ReactElement {
  const application = useSelectedApplication();
  return (
    <div className="workplace">
      <nav className="sidebar" aria-label="Applications" data-pane="applications">
        <p className="sidebar-title">Torpor</p>
        <ApplicationList />
        <SidebarFoot />
      </nav>
      <main className="work">
        {application === null ? <NoApplications /> : <Work application={application} />}
      </main>
    </div>
  );
}

function SidebarFoot(): ReactElement {
  const count = useNotices((state) => state.all.length);
  return (
    <footer className="sidebar-foot">
      <ConnectionWord />
      <div className="sidebar-tools">
        <span className="notice-button">
          <ActionButton
            label={count === 0 ? "Notices" : countOf(count, "notice")}
            icon="bell"
            iconOnly
            tone="bare"
            onPress={() => openDialog({ kind: "notices" })}
          />
          {count === 0 ? null : (
            <span className="notice-count figures" aria-hidden="true">
              {count > 99 ? "99+" : count}
            </span>
          )}
        </span>
        <ActionButton
          label="Machine and stores"
          icon="machine"
          iconOnly
          tone="bare"
          onPress={() => openDialog({ kind: "machine" })}
        />
        <ActionButton
          label="Keyboard"
          icon="keyboard"
          iconOnly
          tone="bare"
          onPress={() => openDialog({ kind: "shortcuts" })}
        />
        <ThemeButton />
      </div>
    </footer>
  );
}

function Work({ application }: { readonly application: ApplicationRecord }): ReactElement {
  const lost = useConnection((state) => state.connection.kind === "lost");
  const wide = useMediaQuery(WIDE);
  const compact = useMediaQuery(COMPACT);
  const shares = usePreferences((state) => state.layout);
  const large = (shares["terminal-large"] ?? 0) === 1;
  const name = wide ? "work-wide" : "work";
  const Surface = application.surface.kind === "display" ? DisplayPane : TerminalPane;
  const surface = (
    <Surface
      application={application}
      large={large}
      onToggleLarge={() => void saveLayout({ "terminal-large": large ? 0 : 1 })}
      absent={<NotRunning application={application} />}
    />
  );
  return (
    <>
      <div className="work-head" data-pane="actions">
        <ApplicationHeader application={application} />
        {lost ? <ConnectionLostBar /> : <OperationLine application={application} />}
        <ConfigurationProblem application={application} />
      </div>
      {large ? (
        <div className="work-body">{surface}</div>
      ) : compact ? (
        <div className="work-body work-stack">
          <Timeline application={application} />
          <ImageDetails application={application} />
          {surface}
        </div>
      ) : (
        <div className="work-body">
          <SplitPane
            direction={wide ? "row" : "column"}
            share={shares[name] ?? (wide ? 0.56 : 0.57)}
            least={wide ? 0.4 : 0.28}
            most={wide ? 0.72 : 0.78}
            label={`Timeline and ${application.surface.kind === "display" ? "display" : "terminal"}`}
            onShareChange={(share) => void saveLayout({ [name]: share })}
            first={
              <div className="history">
                <Timeline application={application} />
                <ImageDetails application={application} />
              </div>
            }
            second={surface}
          />
        </div>
      )}
    </>
  );
}

function NoApplications(): ReactElement {
  const folder = useConnection((state) => state.system?.applicationsFolder ?? "apps.d");
  return (
    <div className="no-applications">
      <EmptyState icon="contents" title="No applications yet" level={1}>
        <p>
          Torpor looks after the programs that have a file in{" "}
          <code className="selectable">{folder}</code>. The least of one, as{" "}
          <code>ward-board.toml</code>:
        </p>
        <pre className="sample selectable">
          {'name = "Ward board"\ncommand = ["python3", "/opt/ward/board.py"]\nterminal = true'}
        </pre>
        <p className="quiet">It appears here as soon as the file is there.</p>
      </EmptyState>
    </div>
  );
}

function useMediaQuery(query: string): boolean {
  return useSyncExternalStore(
    (changed) => {
      const list = window.matchMedia(query);
      list.addEventListener("change", changed);
      return () => list.removeEventListener("change", changed);
    },
    () => window.matchMedia(query).matches,
  );
}
