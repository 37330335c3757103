// The frame of every dialog: title, body that scrolls, actions. Escape and a click outside close it; the
// focus goes back to where it was.
import type { ReactElement, ReactNode } from "react";
import { Dialog, Heading, Modal, ModalOverlay } from "react-aria-components";
import { ActionButton } from "./action-button.js";

export function DialogFrame({
  title,
  onClose,
  children,
  actions,
  width = "normal",
  role = "dialog",
}: {
  readonly title: string;
  readonly onClose: () => void;
  readonly children: ReactNode;
  readonly actions?: ReactNode;
  readonly width?: "normal" | "wide";
  /** alertdialog: a question whose answer changes something for good. */
  readonly role?: "dialog" | "alertdialog";
}): ReactElement {
  return (
    <ModalOverlay
      className="dialog-scrim"
      isOpen
      isDismissable
      onOpenChange={(open) => {
        if (!open) onClose();
      }}
    >
      <Modal className={`dialog-modal dialog-${width}`}>
        <Dialog className="dialog" role={role}>
          <header className="dialog-header">
            <Heading slot="title">{title}</Heading>
            <ActionButton label="Close" icon="close" iconOnly tone="bare" onPress={onClose} />
          </header>
          <div className="dialog-body selectable">{children}</div>
          {actions === undefined ? null : <footer className="dialog-footer">{actions}</footer>}
        </Dialog>
      </Modal>
    </ModalOverlay>
  );
}
