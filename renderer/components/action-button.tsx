// The panel's button. Whatever it does takes a word or two; an icon alone gets its word as a tooltip.
import type { ReactElement } from "react";
import { Button, Tooltip, TooltipTrigger, type ButtonProps } from "react-aria-components";
import { Icon, type IconName } from "./icon.js";

interface ActionButtonProps extends Omit<ButtonProps, "children" | "className" | "style"> {
  readonly label: string;
  readonly icon?: IconName;
  /** primary: the one thing to do here; danger: what can't be taken back; plain: all others. */
  readonly tone?: "plain" | "primary" | "danger" | "bare";
  readonly iconOnly?: boolean;
  /** A second line for the tooltip: keys, or why it can't be used now. */
  readonly hint?: string | undefined;
}

export function ActionButton({
  label,
  icon,
  tone = "plain",
  iconOnly = false,
  hint,
  ...rest
}: ActionButtonProps): ReactElement {
  const button = (
    <Button
      {...rest}
      className={`action action-${tone}${iconOnly ? " action-icon-only" : ""}`}
      {...(iconOnly ? { "aria-label": label } : {})}
    >
      {icon === undefined ? null : <Icon name={icon} />}
      {iconOnly ? null : <span>{label}</span>}
    </Button>
  );
  if (!iconOnly && hint === undefined) return button;
  return (
    <TooltipTrigger delay={500} closeDelay={0}>
      {button}
      <Tooltip className="tooltip" offset={6}>
        {iconOnly ? label : null}
        {hint === undefined ? null : <span className="tooltip-hint">{hint}</span>}
      </Tooltip>
    </TooltipTrigger>
  );
}
