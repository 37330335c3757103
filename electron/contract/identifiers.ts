/** The identifiers that cross the operator socket, and the small scalar shapes beside them. */
import { MAX_LABEL_LENGTH, MAX_REMARK_LENGTH, MAX_TERMINAL_SIDE } from "./limits.js";
import { z } from "./validation.js";

/** An application's id is the name of its file in apps.d without `.toml`. No dot: capsule ids use it. */
export const applicationIdPattern = /^[a-z0-9][a-z0-9_-]{0,47}$/;
export const applicationIdSchema = z
  .string()
  .regex(
    applicationIdPattern,
    'must be 1 to 48 of a to z, 0 to 9, "-" and "_", and start with a letter or a digit',
  );
export type ApplicationId = z.infer<typeof applicationIdSchema>;

/** An image's id: 128 random bits that the helper chose. */
export const imageIdSchema = z.string().regex(/^[0-9a-f]{32}$/, "must be 32 hexadecimal digits");
export type ImageId = z.infer<typeof imageIdSchema>;

/** What a person may type for an image: its id or the beginning of it, if only one image begins so. */
export const imageReferenceSchema = z
  .string()
  .regex(/^[0-9a-f]{4,32}$/, "must be the first 4 to 32 hexadecimal digits of an image id");
export type ImageReference = z.infer<typeof imageReferenceSchema>;

export const operationIdSchema = z.string().regex(/^op-[0-9a-z]{1,40}$/, "must be an operation id");
export type OperationId = z.infer<typeof operationIdSchema>;

export const terminalIdSchema = z.string().regex(/^t-[0-9a-z]{1,40}$/, "must be a terminal id");
export type TerminalId = z.infer<typeof terminalIdSchema>;

export const displayIdSchema = z.string().regex(/^d-[0-9a-z]{1,40}$/, "must be a display id");
export type DisplayId = z.infer<typeof displayIdSchema>;

export const capsuleIdSchema = z
  .string()
  .regex(/^[a-z0-9][a-z0-9._-]{0,63}$/, "must be a capsule id");
export type CapsuleId = z.infer<typeof capsuleIdSchema>;

/** A point in time as ISO 8601 in UTC, as `Date.prototype.toISOString` writes it. */
export const timestampSchema = z.iso.datetime({ offset: true });

export const pidSchema = z.number().int().min(1).max(4_194_304);
export const byteCountSchema = z.number().int().min(0);
export const millisecondsSchema = z.number().min(0);

/** Said of an image by a person. Control characters would let a label repaint an admin's terminal. */
export const labelSchema = z
  .string()
  .max(MAX_LABEL_LENGTH, `must be at most ${MAX_LABEL_LENGTH} characters`)
  .regex(/^[^\p{Cc}]*$/u, "must not contain control characters");

/** Lines of text said of an image by an operator. */
export const remarkSchema = z
  .string()
  .max(MAX_REMARK_LENGTH, `must be at most ${MAX_REMARK_LENGTH} characters`)
  .regex(/^[^\p{Cc}]*$/u, "must not contain control characters");

export const compressionSchema = z.enum(["none", "lz4", "zstd"]);
export type Compression = z.infer<typeof compressionSchema>;

export const terminalSideSchema = z.number().int().min(1).max(MAX_TERMINAL_SIDE);

/** The three parts of a running tree or of an image, as the design names them. */
export const sizesSchema = z.object({
  systemStateBytes: byteCountSchema,
  physicalBytes: byteCountSchema,
  virtualBytes: byteCountSchema,
});
export type Sizes = z.infer<typeof sizesSchema>;
