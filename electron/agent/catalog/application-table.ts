/** What must be known of an application when the agent comes back. */
import type { Database, Statement } from "better-sqlite3";
import {
  applicationStateSchema,
  exitReportSchema,
  occurrenceSchema,
  type ApplicationId,
  type ApplicationState,
  type ExitReport,
  type ImageId,
  type Occurrence,
} from "../../contract/index.js";

export interface RememberedApplication {
  readonly id: ApplicationId;
  lastLife: number;
  currentLife: number | null;
  currentImageId: ImageId | null;
  /** Why the current life was restored; null for a clean start. */
  currentOccurrence: Occurrence | null;
  hibernatedImageId: ImageId | null;
  state: ApplicationState;
  stateReason: string | null;
  stateSince: string;
  lastExit: ExitReport | null;
  heldInBoot: string | null;
}

interface ApplicationRow {
  id: string;
  last_life: number;
  current_life: number | null;
  current_image_id: string | null;
  current_occurrence: string | null;
  hibernated_image_id: string | null;
  state: string;
  state_reason: string | null;
  state_since: string;
  last_exit: string | null;
  held_in_boot: string | null;
}

export class ApplicationTable {
  readonly #put: Statement<[ApplicationRow]>;
  readonly #get: Statement<[string], ApplicationRow>;
  readonly #all: Statement<[], ApplicationRow>;
  readonly #delete: Statement<[string]>;

  constructor(database: Database) {
    this.#put = database.prepare(
      `INSERT INTO applications
         (id, last_life, current_life, current_image_id, current_occurrence, hibernated_image_id, state, state_reason, state_since,
          last_exit, held_in_boot)
       VALUES (@id, @last_life, @current_life, @current_image_id, @current_occurrence, @hibernated_image_id, @state,
          @state_reason, @state_since, @last_exit, @held_in_boot)
       ON CONFLICT (id) DO UPDATE SET last_life = excluded.last_life, current_life = excluded.current_life,
         current_image_id = excluded.current_image_id, current_occurrence = excluded.current_occurrence,
         hibernated_image_id = excluded.hibernated_image_id,
         state = excluded.state, state_reason = excluded.state_reason, state_since = excluded.state_since,
         last_exit = excluded.last_exit, held_in_boot = excluded.held_in_boot`,
    );
    this.#get = database.prepare("SELECT * FROM applications WHERE id = ?");
    this.#all = database.prepare("SELECT * FROM applications");
    this.#delete = database.prepare("DELETE FROM applications WHERE id = ?");
  }

  put(application: RememberedApplication): void {
    this.#put.run({
      id: application.id,
      last_life: application.lastLife,
      current_life: application.currentLife,
      current_image_id: application.currentImageId,
      current_occurrence: application.currentOccurrence,
      hibernated_image_id: application.hibernatedImageId,
      state: application.state,
      state_reason: application.stateReason,
      state_since: application.stateSince,
      last_exit: application.lastExit === null ? null : JSON.stringify(application.lastExit),
      held_in_boot: application.heldInBoot,
    });
  }

  get(id: ApplicationId): RememberedApplication | null {
    const row = this.#get.get(id);
    return row === undefined ? null : toRemembered(row);
  }

  list(): RememberedApplication[] {
    return this.#all.all().map(toRemembered);
  }

  delete(id: ApplicationId): void {
    this.#delete.run(id);
  }
}

function toRemembered(row: ApplicationRow): RememberedApplication {
  return {
    id: row.id,
    lastLife: row.last_life,
    currentLife: row.current_life,
    currentImageId: row.current_image_id,
    currentOccurrence: occurrenceSchema.nullable().catch(null).parse(row.current_occurrence),
    hibernatedImageId: row.hibernated_image_id,
    state: applicationStateSchema.catch("stopped").parse(row.state),
    stateReason: row.state_reason,
    stateSince: row.state_since,
    lastExit:
      row.last_exit === null
        ? null
        : exitReportSchema.nullable().catch(null).parse(JSON.parse(row.last_exit)),
    heldInBoot: row.held_in_boot,
  };
}
