// Which dialog is open. A feature that wants one says so here, and never imports the one that has it.
import { useStore } from "zustand";
import { createStore } from "zustand/vanilla";

export type OpenDialog =
  | { readonly kind: "restore"; readonly imageId: string }
  | { readonly kind: "delete-image"; readonly imageId: string }
  | { readonly kind: "label-image"; readonly imageId: string }
  | { readonly kind: "remark-image"; readonly imageId: string }
  | { readonly kind: "capture"; readonly applicationId: string }
  | { readonly kind: "stop"; readonly applicationId: string }
  | { readonly kind: "image-contents"; readonly imageId: string }
  | { readonly kind: "inspection"; readonly applicationId: string }
  | { readonly kind: "history"; readonly applicationId: string }
  | { readonly kind: "policy"; readonly applicationId: string }
  | { readonly kind: "machine" }
  | { readonly kind: "notices" }
  | { readonly kind: "shortcuts" };

export const dialogsStore = createStore<{ readonly open: OpenDialog | null }>()(() => ({
  open: null,
}));

export function useDialogs<T>(selector: (open: OpenDialog | null) => T): T {
  return useStore(dialogsStore, (state) => selector(state.open));
}

export function openDialog(dialog: OpenDialog): void {
  dialogsStore.setState({ open: dialog });
}

export function closeDialog(): void {
  dialogsStore.setState({ open: null });
}
