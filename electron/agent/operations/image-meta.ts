/**
 * What the agent writes into an image beside the helper's own data, and how it reads it back: enough to
 * make the catalog anew from nothing but the files.
 */
import {
  applicationIdSchema,
  imageIdSchema,
  labelSchema,
  ticketSchema,
  triggerSchema,
  type ApplicationId,
  type ImageId,
  type Ticket,
  type Trigger,
} from "../../contract/index.js";

/** The application's requests that an image answers. */
export interface ImageTickets {
  /** The one that it was taken for. */
  readonly asked: Ticket | null;
  /** Those that were under way meanwhile. */
  readonly waiting: readonly Ticket[];
}

export interface ImageMeta {
  readonly application: ApplicationId;
  readonly trigger: Trigger;
  readonly label: string | null;
  readonly lineageParentId: ImageId | null;
  readonly life: number;
  readonly tickets: ImageTickets;
}

export function imageMeta(meta: ImageMeta): Record<string, string> {
  return {
    application: meta.application,
    trigger: meta.trigger,
    life: String(meta.life),
    ...(meta.tickets.asked === null ? {} : { ticket: meta.tickets.asked }),
    ...(meta.tickets.waiting.length === 0
      ? {}
      : { "waiting-tickets": meta.tickets.waiting.join(" ") }),
    ...(meta.label === null || meta.label === "" ? {} : { label: meta.label }),
    ...(meta.lineageParentId === null ? {} : { "lineage-parent": meta.lineageParentId }),
  };
}

/** null when the image was not taken for an application, such as by the helper called by hand. */
export function readImageMeta(
  meta: Readonly<Record<string, string>> | null | undefined,
): ImageMeta | null {
  const application = applicationIdSchema.safeParse(meta?.application);
  if (!application.success || meta === null || meta === undefined) {
    return null;
  }
  return {
    application: application.data,
    trigger: triggerSchema.catch("unknown").parse(meta.trigger),
    label: labelSchema
      .nullable()
      .catch(null)
      .parse(meta.label ?? null),
    lineageParentId: imageIdSchema
      .nullable()
      .catch(null)
      .parse(meta["lineage-parent"] ?? null),
    life: /^\d{1,9}$/.test(meta.life ?? "") ? Number(meta.life) : 0,
    tickets: {
      asked: ticketSchema
        .nullable()
        .catch(null)
        .parse(meta.ticket ?? null),
      waiting: (meta["waiting-tickets"] ?? "")
        .split(" ")
        .filter((ticket) => ticketSchema.safeParse(ticket).success),
    },
  };
}
