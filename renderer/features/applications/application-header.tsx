// The chosen application: what it is, what it is doing, what can be done to it, and how large it is.
import type { ReactElement } from "react";
import { Button, Menu, MenuItem, MenuTrigger, Popover } from "react-aria-components";
import type { ApplicationRecord } from "../../../electron/contract/application.js";
import {
  captureApplication,
  hibernateApplication,
  startApplication,
  wakeApplication,
} from "../../commands.js";
import { ActionButton } from "../../components/action-button.js";
import { Icon } from "../../components/icon.js";
import { PartsMeters } from "../../components/image-parts.js";
import { StateMark } from "../../components/state-mark.js";
import { useClock } from "../../stores/clock.js";
import { isConnected, useConnection } from "../../stores/connection.js";
import { openDialog } from "../../stores/dialogs.js";
import { STATE_WORDS } from "../../words/application-words.js";
import { dayAndTimeWithin, lastedSince } from "../../words/moments.js";
import { countOf } from "../../words/quantities.js";
import { availableActions, primaryAction } from "./available-actions.js";

export function ApplicationHeader({
  application,
}: {
  readonly application: ApplicationRecord;
}): ReactElement {
  const { word, tone } = STATE_WORDS[application.state];
  const since = useClock((now) => dayAndTimeWithin(application.stateSince, now));
  return (
    <header className="application-header">
      <div className="application-title">
        <h1 className="clipped">{application.name}</h1>
        <p className="application-state-line clipped">
          <StateMark tone={tone} word={word} />
          <span className="quiet clipped">
            since {since}
            {application.stateReason === null ? "" : ` · ${application.stateReason}`}
          </span>
        </p>
      </div>
      <ApplicationActions application={application} />
      <div className="application-figures">
        <PartsMeters
          sizes={application.life === null ? null : (application.measurement?.sizes ?? null)}
        />
        <LifeFacts application={application} />
      </div>
    </header>
  );
}

function ApplicationActions({
  application,
}: {
  readonly application: ApplicationRecord;
}): ReactElement {
  const connected = useConnection(isConnected);
  const can = availableActions(application, connected);
  const primary = primaryAction(application);
  const { id } = application;
  const tone = (action: typeof primary): "primary" | "plain" =>
    action === primary ? "primary" : "plain";
  return (
    <div className="application-actions" role="group" aria-label="Actions">
      <span className="split-button">
        <ActionButton
          label="Capture now"
          icon="capture"
          tone={tone("capture")}
          isDisabled={can.capture !== null}
          hint={can.capture ?? "Ctrl+Shift+S"}
          onPress={() => void captureApplication(id)}
        />
        <MenuTrigger>
          <Button
            className={`action action-${tone("capture")} action-icon-only`}
            aria-label="More ways to capture"
            isDisabled={can.capture !== null}
          >
            <Icon name="down" />
          </Button>
          <Popover className="menu-popover" placement="bottom end">
            <Menu
              className="menu"
              onAction={(key) => {
                if (key === "options") openDialog({ kind: "capture", applicationId: id });
                if (key === "inspect") openDialog({ kind: "inspection", applicationId: id });
              }}
            >
              <MenuItem id="options" className="menu-item">
                Capture with a label…
              </MenuItem>
              <MenuItem id="inspect" className="menu-item">
                What stands in the way?
              </MenuItem>
            </Menu>
          </Popover>
        </MenuTrigger>
      </span>
      <ActionButton
        label="Hibernate"
        icon="sleep"
        isDisabled={can.hibernate !== null}
        hint={can.hibernate ?? "Captures it, then ends it and gives its memory back"}
        onPress={() => void hibernateApplication(id)}
      />
      <ActionButton
        label="Wake"
        icon="wake"
        tone={tone("wake")}
        isDisabled={can.wake !== null}
        hint={can.wake ?? "Goes on where it was hibernated"}
        onPress={() => void wakeApplication(id)}
      />
      <span className="action-gap" />
      <ActionButton
        label="Start"
        icon="play"
        tone={tone("start")}
        isDisabled={can.start !== null}
        hint={can.start ?? "A clean start, from the program’s file"}
        onPress={() => void startApplication(id)}
      />
      <ActionButton
        label="Stop"
        icon="stop"
        isDisabled={can.stop !== null}
        hint={can.stop ?? "Ends it without an image"}
        onPress={() => openDialog({ kind: "stop", applicationId: id })}
      />
    </div>
  );
}

function LifeFacts({ application }: { readonly application: ApplicationRecord }): ReactElement {
  const { life, measurement } = application;
  const age = useClock((now) => (life === null ? "–" : lastedSince(life.startedAt, now)));
  return (
    <dl className="life-facts figures">
      <div>
        <dt>This life</dt>
        <dd>{age}</dd>
      </div>
      <div>
        <dt>Processes</dt>
        <dd>
          {life === null ? (
            "–"
          ) : (
            <span title={`Capsule ${life.capsuleId}, init ${life.initPid}`}>
              {measurement === null ? "–" : measurement.processes}
              <span className="visually-hidden">
                {" "}
                in capsule {life.capsuleId}
                {measurement === null
                  ? ""
                  : `, ${countOf(measurement.processes, "process", "processes")}`}
              </span>
            </span>
          )}
        </dd>
      </div>
      <div>
        <dt>Root PID</dt>
        <dd className="selectable">{life === null ? "–" : life.rootPid}</dd>
      </div>
    </dl>
  );
}
