// What a pane says when it has nothing to show: what is (not) there, why, and what to do about it.
import type { ReactElement, ReactNode } from "react";
import { Icon, type IconName } from "./icon.js";

export function EmptyState({
  icon,
  title,
  children,
  actions,
}: {
  readonly icon: IconName;
  readonly title: string;
  readonly children?: ReactNode;
  readonly actions?: ReactNode;
}): ReactElement {
  return (
    <div className="empty-state">
      <Icon name={icon} />
      <h3>{title}</h3>
      {children === undefined ? null : <div className="empty-state-text">{children}</div>}
      {actions === undefined ? null : <div className="empty-state-actions">{actions}</div>}
    </div>
  );
}
