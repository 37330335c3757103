/**
 * The envelope of the operator socket: JSON-RPC 2.0, one message a line, UTF-8, no batches. Requests go
 * to the agent, responses and notifications (events) to the client.
 */
import { failureSchema, type Failure } from "./failure.js";
import { z } from "./validation.js";

export const requestIdSchema = z.union([z.number().int(), z.string().max(100)]);
export type RequestId = z.infer<typeof requestIdSchema>;

export const requestSchema = z.object({
  jsonrpc: z.literal("2.0"),
  id: requestIdSchema,
  method: z.string().max(100),
  params: z.unknown().optional(),
});
export type Request = z.infer<typeof requestSchema>;

/** JSON-RPC's own numbers for what it names; one number for all that is Torpor's (the code is in `data`). */
export const rpcErrorNumbers = {
  "invalid-json": -32700,
  "invalid-message": -32600,
  "unknown-method": -32601,
  "invalid-params": -32602,
  internal: -32603,
  torpor: -32000,
} as const;

export const responseSchema = z.union([
  z.object({ jsonrpc: z.literal("2.0"), id: requestIdSchema, result: z.unknown() }),
  z.object({
    jsonrpc: z.literal("2.0"),
    id: requestIdSchema.nullable(),
    error: z.object({ code: z.number().int(), message: z.string(), data: failureSchema }),
  }),
]);

export const notificationSchema = z.object({
  jsonrpc: z.literal("2.0"),
  method: z.string(),
  params: z.unknown(),
});

/** A failure as JSON-RPC's error object: the failure itself is its `data`. */
export function toRpcError(failure: Failure): { code: number; message: string; data: Failure } {
  const numbers: Partial<Record<string, number>> = rpcErrorNumbers;
  return {
    code: numbers[failure.code] ?? rpcErrorNumbers.torpor,
    message: failure.message,
    data: failure,
  };
}
