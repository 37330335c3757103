// What a pane says when it has nothing to show: what is (not) there, why, and what to do about it.
import type { ReactElement, ReactNode } from "react";
import { Icon, type IconName } from "./icon.js";

export function EmptyState({
  icon,
  title,
  level = 3,
  children,
  actions,
}: {
  readonly icon: IconName;
  readonly title: string;
  /** 1 where it is all that the window shows. */
  readonly level?: 1 | 3;
  readonly children?: ReactNode;
  readonly actions?: ReactNode;
}): ReactElement {
  const Heading = `h${level}` as const;
  return (
    <div className="empty-state">
      <Icon name={icon} />
      <Heading>{title}</Heading>
      {children === undefined ? null : <div className="empty-state-text">{children}</div>}
      {actions === undefined ? null : <div className="empty-state-actions">{actions}</div>}
    </div>
  );
}
