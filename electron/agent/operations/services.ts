/** What operations work with: the agent's other duties. */
import type { AgentEvents } from "../agent-events.js";
import type { Applications } from "../applications/applications.js";
import type { LifeWatch } from "../capsules/life-watch.js";
import type { Measurer } from "../capsules/measurer.js";
import type { Catalog } from "../catalog/catalog.js";
import type { ApplicationSignals } from "../control/application-signals.js";
import type { ControlSockets } from "../control/control-sockets.js";
import type { TicketBook } from "../control/ticket-book.js";
import type { Helper } from "../helper/helper.js";
import type { Logger } from "../log.js";
import type { Notices } from "../notices.js";
import type { Stores } from "../stores/stores.js";
import type { Displays } from "../display/displays.js";
import type { Terminals } from "../terminal/terminals.js";
import type { ImageLocks } from "./image-locks.js";
import type { Operations } from "./operations.js";

export interface Services {
  readonly applications: Applications;
  readonly catalog: Catalog;
  readonly capsulesFolder: string;
  readonly control: ControlSockets;
  readonly displays: Displays;
  readonly events: AgentEvents;
  readonly helper: Helper;
  readonly imageLocks: ImageLocks;
  readonly lifeWatch: LifeWatch;
  readonly log: Logger;
  readonly measurer: Measurer;
  readonly notices: Notices;
  readonly operations: Operations;
  readonly signals: ApplicationSignals;
  readonly stores: Stores;
  readonly terminals: Terminals;
  readonly tickets: TicketBook;
}
